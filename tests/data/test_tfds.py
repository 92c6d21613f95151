"""TensorFlow Datasets as a source, on a small data set prepared without network."""

import os
import re
import types

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data import tfds
from mocotf.data.decode import decode
from mocotf.data.source import Order
from mocotf.data.tfds import TFDS
from mocotf.errors import UserError
from tests.data.support import drawn
from tests.data.support import prepare_tiny_images

FORMATS = ("tfrecord", "array_record")


@pytest.fixture(scope="module", params=FORMATS)
def data_dir(request, tmp_path_factory):
    if request.param == "array_record":
        pytest.importorskip("array_record")
    path = str(tmp_path_factory.mktemp("tfds"))
    prepare_tiny_images(path, shards=4, file_format=request.param)
    return path


def prepared(data_dir):
    return os.path.join(data_dir, "tiny_images", "1.0.0")


def grey_levels(source, order, steps, first_step=0):
    """Returns, for each step, the grey level that tells the image."""
    levels = source.draw(order, first_step).map(lambda _, handle: decode(source.load(handle))[0, 0, 0])
    return np.array(list(levels.batch(order.share).take(steps).as_numpy_iterator()))


def test_a_prepared_data_set_is_found_by_name(data_dir):
    for name in ("tiny_images", "tiny_images:1.0.0"):
        source = TFDS(name, data_dir)
        assert (source.name, source.size, source.shape) == (name, 60, None)
        assert source.evaluation_sizes == (60, 12)


def test_a_prepared_data_set_is_found_by_its_folder(data_dir):
    source, named = TFDS("tfds", prepared(data_dir)), TFDS("tiny_images", data_dir)
    assert (source.name, source.size, source.evaluation_sizes) == ("tfds", 60, (60, 12))
    order = Order(0, 6, 10)
    assert drawn(source, order, 12) == drawn(named, order, 12)


def test_images_stay_encoded(data_dir):
    source = TFDS("tiny_images", data_dir)
    _, handle = next(iter(source.draw(Order(0, 6, 10))))
    encoded = source.load(handle)
    assert encoded.dtype == tf.string and encoded.numpy().startswith(b"\x89PNG")


def test_describe_names_file_and_record(data_dir):
    source = TFDS("tiny_images", data_dir)
    names = {name.decode() for step in drawn(source, Order(0, 6, 10), 10) for _, name in step}
    assert len(names) == 60
    pattern = re.escape(prepared(data_dir)) + r"/tiny_images-train\..*-0000[0-3]-of-00004#\d+"
    assert all(re.fullmatch(pattern, name) for name in names)


def test_an_epoch_uses_each_image_at_most_once(data_dir):
    source = TFDS("tiny_images", data_dir)
    first, second = np.split(grey_levels(source, Order(0, 6, 10), 20).ravel(), 2)
    assert sorted(first) == sorted(second) == list(range(60)) and list(first) != list(second)
    shorter = grey_levels(source, Order(0, 7, source.steps_per_epoch(7)), 16).reshape(2, 56)
    assert all(len(set(epoch)) == 56 for epoch in shorter)


def test_workers_and_resumed_runs_draw_what_one_run_draws(data_dir):
    source = TFDS("tiny_images", data_dir)
    alone = {image for step in drawn(source, Order(3, 4, 15), 15) for image in step}
    steps, seen = source.steps_per_epoch(4, 2), []
    assert steps == 15
    for worker in range(2):
        order = Order(3, 4, steps, worker, 2)
        images = drawn(source, order, 20)
        seen += [image for step in images[:15] for image in step]
        assert drawn(source, order, 4, first_step=16) == images[16:]
    assert len(seen) == 60 and set(seen) == alone


def test_one_file_is_shuffled_too(tmp_path):
    prepare_tiny_images(str(tmp_path), shards=1)
    source = TFDS("tiny_images", str(tmp_path))
    levels = grey_levels(source, Order(0, 6, 10), 10).ravel().astype(int)
    assert sorted(levels) == list(range(60)) and np.mean(np.diff(levels) == 1) < 0.1


def test_evaluation_reads_train_as_bank_and_test_as_queries(data_dir):
    source = TFDS("tiny_images", data_dir)
    for part, levels in (("bank", range(60)), ("queries", range(100, 112))):
        rows = [
            (int(decode(source.load(h))[0, 0, 0]), int(label)) for h, label in source.evaluation(part)
        ]
        assert sorted(rows) == [(level, level) for level in levels]
        assert source.class_names[levels[0]] == str(levels[0])
        assert [int(label) for _, label in source.evaluation(part)] == [label for _, label in rows]


@pytest.mark.parametrize("name", ["no_such_images", "not a name!"])
def test_an_unknown_name_is_told(data_dir, name):
    with pytest.raises(
        UserError, match="neither patches, folder, tfrecord, tfds nor a data set"
    ) as error:
        TFDS(name, data_dir)
    assert str(error.value).startswith(f"--dataset={name}: ") and "\n" not in str(error.value)


def test_a_data_set_without_images_is_told(tmp_path):
    prepare_tiny_images(str(tmp_path), image="scan")
    with pytest.raises(UserError, match="has features .*scan.*; expected one named 'image'"):
        TFDS("tiny_images", str(tmp_path))


def test_a_data_set_kept_in_another_format_is_told(tmp_path):
    builder = types.SimpleNamespace(
        info=types.SimpleNamespace(file_format=types.SimpleNamespace(value="riegeli")), data_dir="DIR"
    )
    with pytest.raises(UserError, match="is kept as riegeli in DIR; expected tfrecord or array_record"):
        tfds._records("--dataset=tiny_images", builder, None, None)


def test_a_folder_that_is_no_prepared_data_set_is_told(tmp_path):
    for data_dir in (None, str(tmp_path)):
        with pytest.raises(UserError, match="no dataset_info.json there; expected the folder of a"):
            TFDS("tfds", data_dir)
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(
        UserError, match="expected a data set that tensorflow-datasets prepared"
    ) as error:
        TFDS("tfds", str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_name_with_the_folder_of_one_data_set_is_told(data_dir):
    with pytest.raises(
        UserError, match="is itself a prepared data set; .*try: --dataset=tfds --data_dir"
    ):
        TFDS("tiny_images", prepared(data_dir))


def test_tensorflow_datasets_own_data_sets_can_be_prepared(tmp_path):
    import tensorflow_datasets

    assert tensorflow_datasets.builder("cifar10", data_dir=str(tmp_path)).url_infos
