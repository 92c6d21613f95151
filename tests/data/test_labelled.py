"""Labelled images: which are chosen, in what order, and as what views."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import random_views
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.patches import Patches
from mocotf.data.sources.tfrecord import TFRecords
from mocotf.data.supervised import Labelled
from mocotf.data.views import augmentations
from mocotf.errors import UserError
from tests.data.support import colour_number
from tests.data.support import example
from tests.data.support import write_colours
from tests.data.support import write_records

PLAIN = augmentations.Augmentation(
    size=16, min_area=0.3, jitter_prob=0.0, gray_prob=0.0, blur_prob=0.0, mean=(0, 0, 0), std=(1, 1, 1)
)


@pytest.fixture(scope="module")
def patches():
    return Patches()


def split_folder(tmp_path, train=(8, 12), val=(2, 2)):
    """Writes classes a and b in train and val."""
    for part, counts in (("train", train), ("val", val)):
        for name, count in zip("ab", counts, strict=True):
            write_colours(tmp_path / part / name, count)
    return Folder(str(tmp_path))


def keys(labelled, batch, steps_per_epoch, first_step, count):
    order = Order(seed=3, batch_size=batch, steps_per_epoch=steps_per_epoch)
    keys, (_, labels) = next(labelled.draw(order, first_step).batch(count).as_numpy_iterator())
    return [*zip(keys.tolist(), labels.tolist(), strict=True)]


def test_an_epoch_has_each_image_once_in_an_order_of_its_own_and_any_step_is_found(tmp_path):
    labelled = Labelled(split_folder(tmp_path))
    assert labelled.size == 20 and labelled.classes == 2
    whole = keys(labelled, 5, 4, 0, 60)
    epochs = [whole[i : i + 20] for i in (0, 20, 40)]
    for number, epoch in enumerate(epochs):
        assert sorted(key for key, _ in epoch) == list(range(20 * number, 20 * number + 20))
        assert [label for key, label in epoch] == [int(key % 20 >= 8) for key, _ in epoch]
    orders = [[key % 20 for key, _ in epoch] for epoch in epochs]
    assert orders[0] != orders[1] != orders[2]
    assert keys(labelled, 5, 4, 6, 10) == whole[30:40]


def test_records_in_sequence_are_drawn_alike(tmp_path):
    image = tf.io.encode_png(np.zeros([4, 4, 3], np.uint8)).numpy()
    for part, count in (("train-0", 7), ("train-1", 5), ("validation-0", 4)):
        records = [example(image__encoded=image, image__class__label=i % 2) for i in range(count)]
        write_records(tmp_path / part, records)
    labelled = Labelled(TFRecords(str(tmp_path)))
    whole = keys(labelled, 3, 4, 0, 12)
    assert sorted(key for key, _ in whole) == list(range(12))
    assert keys(labelled, 3, 4, 2, 6) == whole[6:]


def test_a_part_has_all_classes_alike_and_is_the_same_for_the_same_seed(patches):
    tenth = Labelled(patches, 0.1, seed=5)
    counts = np.bincount(tenth.labels)
    assert len(counts) == 14 and set(counts) == {46}
    again, other = Labelled(patches, 0.1, seed=5), Labelled(patches, 0.1, seed=6)

    def handles(labelled):
        return next(labelled.examples().batch(1000).as_numpy_iterator())[0].tolist()

    assert handles(tenth) == handles(again) != handles(other)
    assert len(handles(tenth)) == tenth.size == 644


def test_labels_for_leak_checks(patches):
    given, shuffled = Labelled(patches).labels, Labelled(patches, labels="shuffled").labels
    np.testing.assert_array_equal(np.bincount(given), np.bincount(shuffled))
    assert np.mean(given == shuffled) < 0.2
    assert not Labelled(patches, labels="constant").labels.any()


def test_views_are_crops_of_their_image_some_mirrored(patches):
    labelled = Labelled(patches)
    order = Order(seed=1, batch_size=64, steps_per_epoch=100)
    whole = dataclasses.replace(PLAIN, size=32, min_area=1.0)
    views = random_views(labelled, whole, order, bad_images=BadImages(), labels=True, views=1)
    x, labels = next(iter(views))
    drawn = labelled.draw(order).map(lambda _, example: (patches.load(example[0]), example[1]))
    images, expected = next(drawn.batch(64).as_numpy_iterator())
    np.testing.assert_array_equal(labels, expected)
    plain, flipped = (np.abs(x - image / 255).max((1, 2, 3)) for image in (images, images[:, :, ::-1]))
    # Windows of the whole area that fit no drawn aspect are the centre's; most are whole.
    mirrored = (flipped < 1e-4) & (plain > 1e-4)
    assert 5 < mirrored.sum() < 60


def test_files_that_do_not_decode_keep_labels_with_their_images(tmp_path):
    source = split_folder(tmp_path)
    (tmp_path / "train" / "a" / "000.png").write_bytes(b"no image")
    labelled, bad_images = Labelled(source), BadImages()
    order = Order(seed=3, batch_size=20, steps_per_epoch=1)
    how = {"bad_images": bad_images, "ops": "tensorflow", "labels": True, "views": 1}
    views = random_views(labelled, PLAIN, order, **how)
    x, labels = next(iter(views))
    assert len(bad_images.names) == 1
    numbers = [key for key, _ in keys(labelled, 20, 1, 0, 20)]
    place = numbers.index(0)
    numbers[place] = numbers[(place + 1) % 20]
    assert labels.numpy().tolist() == [int(n >= 8) for n in numbers]
    assert colour_number(x).tolist() == [n if n < 8 else n - 8 for n in numbers]


def test_classes_that_differ_are_told(tmp_path):
    for folder in ("train/cat", "train/dog", "val/cats"):
        write_colours(tmp_path / folder, 3)
    with pytest.raises(UserError, match=r"1 class .* with no training image \(cats\)"):
        Labelled(Folder(str(tmp_path)))


def test_a_source_without_labels_is_told(tmp_path):
    write_colours(str(tmp_path), 4)
    told = "0 labelled images to learn from, 0 to ask about; expected some of both: sub-"
    with pytest.raises(UserError, match=f"^--dataset=folder: {told}") as error:
        Labelled(Folder(str(tmp_path)))
    assert "\n" not in str(error.value)
