"""TensorFlow Datasets as a source, on a small data set prepared without network."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.decode import decode
from mocotf.data.tfds import TFDS
from mocotf.errors import UserError
from tests.data.support import prepare_tiny_images


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tfds"))
    prepare_tiny_images(path, shards=4)
    return path


def drawn(source, seed, first, count, per_epoch=56):
    """Returns (numbers, grey level that tells the image)."""
    levels = source.draw(seed, first, per_epoch).map(
        lambda number, handle: (number, decode(source.load(handle))[0, 0, 0])
    )
    return [list(column.numpy()) for column in next(iter(levels.batch(count)))]


def test_a_prepared_data_set_is_found_by_name(data_dir):
    for name in ("tiny_images", "tiny_images:1.0.0"):
        source = TFDS(name, data_dir)
        assert (source.name, source.size, source.shape) == (name, 60, None)
        assert source.evaluation_sizes == (60, 12)
    assert len(source._files("train")) == 4


def test_images_stay_encoded(data_dir):
    source = TFDS("tiny_images", data_dir)
    _, handle = next(iter(source.draw(0, 0, 60)))
    encoded = source.load(handle)
    assert encoded.dtype == tf.string and encoded.numpy().startswith(b"\x89PNG")
    assert source.describe(handle).numpy().startswith(b"a record of tiny_images, digest ")


def test_an_epoch_uses_each_image_at_most_once(data_dir):
    source = TFDS("tiny_images", data_dir)
    _, levels = drawn(source, seed=0, first=0, count=120, per_epoch=60)
    assert sorted(levels[:60]) == sorted(levels[60:]) == list(range(60))
    assert levels[:60] != levels[60:]
    _, levels = drawn(source, seed=0, first=0, count=112)
    assert len(set(levels[:56])) == len(set(levels[56:])) == 56


def test_any_position_is_reached_without_the_ones_before(data_dir):
    source = TFDS("tiny_images", data_dir)
    numbers, levels = drawn(source, seed=3, first=0, count=170)
    assert numbers == list(range(170))
    for first in (1, 55, 56, 150):
        count = 170 - first
        assert drawn(source, 3, first, count) == [numbers[first:], levels[first:]]


def test_order_is_a_function_of_seed_and_epoch_alone(data_dir):
    source = TFDS("tiny_images", data_dir)
    _, levels = drawn(source, seed=0, first=0, count=112)
    tf.random.set_seed(12345)
    assert drawn(source, seed=0, first=0, count=112)[1] == levels
    assert drawn(TFDS("tiny_images", data_dir), seed=0, first=0, count=112)[1] == levels
    assert drawn(source, seed=1, first=0, count=56)[1] not in (levels[:56], levels[56:])


def test_one_file_is_shuffled_too(tmp_path):
    prepare_tiny_images(str(tmp_path), shards=1)
    source = TFDS("tiny_images", str(tmp_path))
    _, levels = drawn(source, seed=0, first=0, count=120, per_epoch=60)
    assert sorted(levels[:60]) == list(range(60))
    assert np.mean(np.diff(levels[:60]) == 1) < 0.1 and levels[:60] != levels[60:]
    # Seed 1's first epoch is not seed 0's second.
    assert drawn(source, seed=1, first=0, count=60, per_epoch=60)[1] != levels[60:]


def test_evaluation_reads_train_as_bank_and_test_as_queries(data_dir):
    source = TFDS("tiny_images", data_dir)
    for part, levels in (("bank", range(60)), ("queries", range(100, 112))):
        rows = [
            (int(decode(source.load(h))[0, 0, 0]), int(label)) for h, label in source.evaluation(part)
        ]
        assert sorted(rows) == [(level, level) for level in levels]
        assert [int(label) for _, label in source.evaluation(part)] == [label for _, label in rows]


@pytest.mark.parametrize("name", ["no_such_images", "not a name!"])
def test_an_unknown_name_is_told(data_dir, name):
    with pytest.raises(UserError, match="neither patches, folder nor a data set") as error:
        TFDS(name, data_dir)
    assert str(error.value).startswith(f"--dataset={name}: ") and "\n" not in str(error.value)


def test_a_data_set_without_images_is_told(tmp_path):
    prepare_tiny_images(str(tmp_path), image="scan")
    with pytest.raises(UserError, match="has features .*scan.*; expected one named 'image'"):
        TFDS("tiny_images", str(tmp_path))


def test_a_data_set_kept_in_another_format_is_told(tmp_path):
    prepare_tiny_images(str(tmp_path), file_format="array_record")
    with pytest.raises(UserError, match="is kept as array_record in .*; expected tfrecord"):
        TFDS("tiny_images", str(tmp_path))


def test_tensorflow_datasets_own_data_sets_can_be_prepared(tmp_path):
    import tensorflow_datasets as tfds

    assert tfds.builder("cifar10", data_dir=str(tmp_path)).url_infos
