"""What is looked at where there are no labels."""

import numpy as np
import tensorflow as tf

from mocotf.data.bad_images import BadImages
from mocotf.data.folder import Folder
from mocotf.data.patches import Patches
from mocotf.data.recipe import Augmentation
from mocotf.data.tfrecord import TFRecords
from mocotf.evaluation.monitor import KNNMonitor
from mocotf.evaluation.unlabelled import Unlabelled
from tests.data.support import example
from tests.data.support import write_colours
from tests.data.support import write_records


def handles(source, split):
    rows = list(source.evaluation(split))
    assert {int(label) for _, label in rows} == {-1}
    return [int(handle) for handle, _ in rows]


def test_queries_and_bank_are_different_training_images_always_the_same():
    source = Unlabelled(Patches())
    bank, queries = handles(source, "bank"), handles(source, "queries")
    assert source.evaluation_sizes == (len(bank), len(queries)) == (2000, 200)
    assert len({*bank, *queries}) == 2200 and max(bank) < 6400
    assert handles(Unlabelled(Patches()), "queries") == queries


def monitor(source, size):
    augmentation = Augmentation(size=size)
    bad_images = BadImages(None, source.size, 0.1)
    return KNNMonitor(Unlabelled(source), augmentation, bad_images, k=5, T=0.1, most=50)


def encode(images):
    return tf.reduce_mean(images, axis=(1, 2))


def test_a_folder_without_classes_has_neighbours_and_no_accuracy(tmp_path):
    write_colours(str(tmp_path), 30)
    looker = monitor(Folder(str(tmp_path)), 16)
    album = looker.album()
    assert looker.measure(encode, album) is None
    assert set(album.queries[2]) == {-1} and len(album.queries[2]) == 3
    similarities, _, pictures = album.nearest
    assert pictures.shape == (3, 8, 16, 16, 3) and np.all(np.diff(similarities) <= 0)


def test_records_are_read_in_order(tmp_path):
    write_colours(str(tmp_path / "photos"), 12, suffixes=("png",))
    images = [path.read_bytes() for path in sorted((tmp_path / "photos").iterdir())]
    write_records(tmp_path / "train-0", [example(image__encoded=image) for image in images])
    source = TFRecords(str(tmp_path / "train-*"))
    sample = [source.load(handle).numpy() for handle in source.sample(5)]
    assert sample == images[:5]
    assert monitor(source, 16).measure(encode) is None
