"""Pairs of views as a function of (seed, position); files that do not decode; evaluation views."""

import dataclasses
import io
import os
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data import batches
from mocotf.data import pretraining
from mocotf.data.bad_images import BadImages
from mocotf.data.batches import NOTHING_DECODES
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.patches import Patches
from mocotf.data.sources.tfds import TFDS
from mocotf.data.sources.tfrecord import TFRecords
from mocotf.data.views import augmentations
from mocotf.data.views.decode import decode
from mocotf.data.views.host import OPS
from tests.data.support import assert_close_levels
from tests.data.support import colour_number
from tests.data.support import example
from tests.data.support import folder_with_bad_files
from tests.data.support import photograph
from tests.data.support import prepare_tiny_images
from tests.data.support import write_colours
from tests.data.support import write_records

PLAIN = augmentations.Augmentation(
    size=16, jitter=(0, 0, 0, 0), gray_prob=0, blur_prob=0, mean=(0, 0, 0), std=(1, 1, 1)
)
# XLA compiles views for each augmentation and number of images, and takes a second: few of them here.
COLOURED = augmentations.v2(size=16, jitter=(0.4, 0, 0, 0), blur_prob=0)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    data_dir = str(tmp_path_factory.mktemp("data"))
    write_colours(f"{data_dir}/photos", 27)
    prepare_tiny_images(data_dir)
    return {
        "patches": Patches(),
        "folder": Folder(f"{data_dir}/photos"),
        "tfds": TFDS("tiny_images", data_dir),
    }


def order_of(source, batch_size, seed=0, **worker):
    """Returns the `Order` of a run's images."""
    return Order(seed, batch_size, source.steps_per_epoch(batch_size), **worker)


def steps(source, count, augmentation=PLAIN, batch_size=8, seed=0, threads=2, bad=None, **options):
    """Returns float `[count, 2, batch_size, S, S, 3]`."""
    options.setdefault("order", order_of(source, batch_size, seed))
    pairs = pretraining.random_views(source, augmentation, bad_images=bad or BadImages(), **options)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return np.array([np.stack(pair) for pair in pairs.with_options(options).take(count)])


def shown(batches):
    """Returns which image of `write_colours` each view shows, `[steps, 2, batch]`."""
    return np.reshape(colour_number(batches.reshape(-1, *batches.shape[3:])), batches.shape[:3])


# ---- A pure function of (seed, position)


@pytest.mark.parametrize(
    ("name", "ops"), [("patches", "numba"), ("folder", "tensorflow"), ("tfds", "numba")]
)
def test_a_run_may_start_at_any_step_on_any_number_of_threads(sources, name, ops):
    options = {"order": Order(0, 8, steps_per_epoch=3), "ops": ops}
    run = steps(sources[name], 4, COLOURED, threads=1, **options)
    assert run.shape == (4, 2, 8, 16, 16, 3)
    rest = steps(sources[name], 2, COLOURED, first_step=2, threads=7, **options)
    np.testing.assert_array_equal(rest, run[-2:])


def test_views_do_not_depend_on_how_many_are_made_at_once(sources, monkeypatch):
    expected = steps(sources["folder"], 4, COLOURED)
    for calls in (1, 5):
        parallel = {"num_parallel_calls": calls, "deterministic": True}
        for module in (batches, pretraining):
            monkeypatch.setattr(module, "PARALLEL", parallel)
        np.testing.assert_array_equal(steps(sources["folder"], 4, COLOURED), expected)


@pytest.mark.parametrize(
    "options", [{"crops_only": True}, {"labels": True, "indices": True}], ids=["crops", "views"]
)
def test_small_views_are_those_that_are_made_one_by_one(tmp_path, monkeypatch, options):
    source = folder_with_bad_files(tmp_path, 27, (4, 9))

    def made():
        pairs = pretraining.random_views(
            source, augmentations.v2(size=16), Order(0, 25, 1), bad_images=BadImages(), **options
        )
        return [x for batch in pairs.take(2).as_numpy_iterator() for x in batch]

    monkeypatch.setattr(pretraining, "SMALL", 0)
    one_by_one = made()
    monkeypatch.undo()
    for together in (8, 64):
        monkeypatch.setattr(batches, "TOGETHER", together)
        for x, expected in zip(made(), one_by_one, strict=True):
            np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize(("name", "batch_size", "workers"), [("patches", 8, 2), ("folder", 6, 3)])
def test_workers_share_the_very_views_of_one(sources, name, batch_size, workers):
    source = sources[name]
    alone = steps(source, 5, COLOURED, batch_size)
    orders = [order_of(source, batch_size, worker=w, workers=workers) for w in range(workers)]
    shares = [steps(source, 5, COLOURED, order=order) for order in orders]
    np.testing.assert_allclose(np.concatenate(shares, axis=2), alone, atol=1e-5)


@pytest.mark.parametrize("name", ["patches", "folder"])
def test_each_view_of_each_image_and_seed_has_draws_of_its_own(sources, name, monkeypatch):
    source = sources[name]
    load = source.load
    monkeypatch.setattr(source, "load", lambda handle: load(0 * handle))  # the first, for every image
    views = [steps(source, 2, seed=seed).reshape(32, -1) for seed in (0, 1)]
    assert len({view.tobytes() for view in np.concatenate(views)}) == 64


# ---- Epochs


def test_both_views_show_one_image_and_no_image_comes_twice_in_an_epoch(sources):
    images = shown(steps(sources["folder"], 9))
    np.testing.assert_array_equal(images[:, 0], images[:, 1])
    epochs = images[:, 0].reshape(3, 24)
    assert all(len(set(epoch)) == 24 and set(epoch) <= set(range(27)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len(set(epochs.ravel())) == 27  # what one epoch drops, another uses


@pytest.mark.parametrize("size", [27, 6400])
def test_orders_differ_over_many_epochs_and_seeds(sources, size):
    source = {27: sources["folder"], 6400: sources["patches"]}[size]
    orders = []
    for seed, epoch in [(0, e) for e in range(0, 1025, 256)] + [(s, 0) for s in (1, 256, 512)]:
        _, handles = next(iter(source.draw(Order(seed, size, 1), epoch).batch(27)))
        orders.append(tuple(handles.numpy()))
    assert len(set(orders)) == len(orders)


# ---- Files that do not decode


@pytest.mark.parametrize("ops", OPS)
def test_bad_files_are_replaced_by_the_next_of_the_batch_and_named_once(tmp_path, ops):
    source = folder_with_bad_files(tmp_path / "photos", 12, (2, 5, 9))
    names = tmp_path / "bad_images.txt"
    bad = BadImages(str(names))
    images = shown(steps(source, 9, batch_size=4, bad=bad, ops=ops))
    drawn = source.draw(order_of(source, 4)).take(36)
    drawn = np.array([int(handle) for _, handle in drawn]).reshape(9, 4)
    assert np.isin(drawn, (2, 5, 9)).sum() == 9
    for batch, both_views in zip(drawn, images, strict=True):
        good = [next(i for i in np.roll(batch, -place) if i not in (2, 5, 9)) for place in range(4)]
        np.testing.assert_array_equal(both_views, [good, good])
    assert sorted(bad.names) == [f"{tmp_path}/photos/{i:03}.jpg" for i in (2, 5, 9)]
    assert sorted(names.read_text().splitlines()) == sorted(bad.names)


def test_more_bad_files_than_a_share_stop_the_run(tmp_path):
    source = folder_with_bad_files(tmp_path, 12, (2, 5, 9))
    few, many = (BadImages(None, source.size, share) for share in (0.3, 0.2))
    steps(source, 6, batch_size=4, bad=few)
    assert few.stopped is None and len(few.names) == 3
    with pytest.raises(tf.errors.OpError):
        steps(source, 6, batch_size=4, bad=many)
    assert "3 of 12 images" in many.stopped


def test_a_batch_of_bad_files_only_is_an_error(tmp_path):
    source = folder_with_bad_files(tmp_path, 3, (0, 1, 2))
    with pytest.raises(tf.errors.InvalidArgumentError, match=NOTHING_DECODES):
        steps(source, 1, batch_size=3)


# ---- Evaluation views


@pytest.mark.parametrize("suffix", ["PNG", "JPEG"])
@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (301, 299), (9, 420), (256, 256)])
def test_evaluation_view_is_short_side_256_then_centre_224(shape, suffix):
    file = io.BytesIO()
    Image.fromarray(photograph("coffee.png", *shape)).save(file, suffix)
    image = Image.open(file).convert("RGB")
    short = min(image.size)
    width, height = (int(256 * side / short) for side in image.size)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    pillow = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    view = pretraining.prepare(decode(file.getvalue()), augmentations.v2()).numpy()
    levels = (view * augmentations.IMAGENET_STD + augmentations.IMAGENET_MEAN) * 255
    assert_close_levels(levels, pillow, 0.5, most=2, quantity="evaluation view, Pillow's")


@pytest.mark.parametrize("shape", [(1, 65500), (65500, 1), (1, 1)])
def test_of_a_strip_only_what_is_looked_at_is_made(shape):
    strip = np.full((*shape, 3), 9, np.uint8)  # whole it would be of 51 GB
    np.testing.assert_allclose(pretraining.centre(strip, 224), np.full((224, 224, 3), 9), atol=1e-3)


def test_images_of_the_views_size_are_used_whole(sources):
    source = sources["patches"]

    def first_batch(augmentation, size):
        views = pretraining.centre_views(
            source, source.evaluation("queries"), augmentation, BadImages(), size
        )
        return next(iter(views))

    patches, labels = first_batch(PLAIN, 840)
    assert patches.shape == (840, 16, 16, 3) and len(set(labels.numpy())) == 14
    whole, _ = first_batch(dataclasses.replace(PLAIN, size=32), 9)
    np.testing.assert_allclose(whole[0] * 255, source.load(6400), atol=1e-4)


def test_evaluation_leaves_out_what_does_not_decode(tmp_path):
    for i, label in enumerate("ab"):
        folder_with_bad_files(tmp_path / label, 10 + i, (3, 4))
    source, bad = Folder(str(tmp_path)), BadImages()
    for n in (1, 4, 20):  # at first nothing of some batches decodes
        views = pretraining.centre_views(source, source.evaluation("bank"), PLAIN, bad, n)
        labels = [batch for _, batch in views.as_numpy_iterator()]
        assert np.concatenate(labels).tolist() == [0] * 7 + [1] * 7  # of 9 each
        assert {len(batch) for batch in labels[:-1]} <= {n}
    assert len(bad.names) == 4


def test_to_see_what_does_not_decode_costs_little_beside_decoding(tmp_path):
    for label in "ab":
        write_colours(tmp_path / label, 27)
    source = Folder(str(tmp_path))
    examples = source.evaluation("bank").repeat(20)

    def seconds(views):
        began = time.process_time()
        assert sum(len(labels) for _, labels in views) == 20 * source.evaluation_sizes[0]
        return time.process_time() - began

    def view(handle, label):
        return pretraining.prepare(pretraining.decoded_image(source, handle), PLAIN), label

    plain = examples.map(view, **batches.PARALLEL).batch(256)
    checked = pretraining.centre_views(source, examples, PLAIN, BadImages())
    cost = {name: [] for name in ("plain", "checked")}
    for _ in range(3):
        cost["plain"].append(seconds(plain))
        cost["checked"].append(seconds(checked))
    # With a data set for each image, to catch its errors, it was 2.6 times.
    assert min(cost["checked"]) < 2 * min(cost["plain"]), cost


# ---- Mechanisms with a bank


@pytest.mark.parametrize("name", ["patches", "folder", "tfds", "shards"])
def test_an_image_has_one_index_on_every_worker_and_in_every_epoch(sources, tmp_path, name):
    if name == "shards":
        for shard, count in enumerate((7, 0, 5, 8)):
            write_records(tmp_path / f"train-{shard}", [example(image__encoded=b"some image")] * count)
        source = TFRecords(str(tmp_path))
    else:
        source = sources[name]
    size, seen = source.size, {}  # index → what describes the image
    for worker in range(2):
        order = Order(1, 8, source.steps_per_epoch(8, 2), worker=worker, workers=2)
        handles = source.draw(order).map(lambda _, handle: handle)
        told = handles.map(lambda handle: (source.index(handle), source.describe(handle)))
        for index, image in zip(*next(told.batch(size).as_numpy_iterator()), strict=True):
            assert seen.setdefault(int(index), image) == image
    assert set(seen) <= set(range(size)) and len(set(seen.values())) == len(seen) > 0.9 * size


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("patches", "numba"),
        ("folder", "numba"),
        pytest.param("folder", "tensorflow", marks=pytest.mark.slow),
    ],
)
def test_one_view_is_the_first_of_two_and_tells_its_image(sources, name, ops):
    source = sources[name]
    options = {"bad_images": BadImages(), "ops": ops, "labels": True, "indices": True}
    order = order_of(source, 8)
    pair, one = (
        next(iter(pretraining.random_views(source, COLOURED, order, views=views, **options)))
        for views in (2, 1)
    )
    assert (len(pair), len(one)) == (4, 3)
    # Of a JPEG less is decoded for one crop, and colours at the edge of what is differ a little.
    np.testing.assert_allclose(one[0], pair[0], atol=0.05)
    assert np.mean(np.abs(one[0] - pair[0])) < 1e-3
    for a, b in zip(pair[2:], one[1:], strict=True):
        np.testing.assert_array_equal(a, b)
    handles = [handle for _, handle in source.draw(order).take(8)]
    np.testing.assert_array_equal(one[-1], [source.index(handle) for handle in handles])


def test_a_replaced_image_has_the_index_of_what_replaces_it(tmp_path):
    source = folder_with_bad_files(tmp_path, 12, (3,))
    views = pretraining.random_views(
        source, PLAIN, order_of(source, 6), bad_images=BadImages(), views=1, indices=True
    )
    for x, indices in views.take(4):
        names = [source.describe(index).numpy().decode() for index in indices]
        numbers = [int(os.path.basename(name)[:3]) for name in names]
        np.testing.assert_array_equal(colour_number(x.numpy()), numbers)
