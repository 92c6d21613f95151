"""TensorFlow Datasets as a source, on a small data set prepared without network."""

import os
import re
import sys
import types

import pytest
import tensorflow as tf

from mocotf.data.contents import read_contents
from mocotf.data.sources import tfds
from mocotf.data.sources.base import Order
from mocotf.data.sources.tfds import TFDS
from mocotf.data.views.decode import decode
from mocotf.errors import UserError
from tests.data.support import drawn
from tests.data.support import flat
from tests.data.support import prepare_tiny_images


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def data_dir(request, tmp_path_factory):
    if request.param == "array_record":
        pytest.importorskip("array_record")
    path = str(tmp_path_factory.mktemp("tfds"))
    prepare_tiny_images(path, shards=4, file_format=request.param)
    return path


def prepared(data_dir):
    return os.path.join(data_dir, "tiny_images", "1.0.0")


def test_a_prepared_data_set_is_found_by_name(data_dir):
    for name in ("tiny_images", "tiny_images:1.0.0"):
        source = TFDS(name, data_dir)
        assert (source.name, source.size, source.shape) == (name, 60, None)
        assert source.evaluation_sizes == (60, 12)


def test_a_prepared_data_set_is_found_by_its_folder(data_dir):
    source, named = TFDS("tfds", prepared(data_dir)), TFDS("tiny_images", data_dir)
    assert (source.name, source.size, source.evaluation_sizes) == ("tfds", 60, (60, 12))
    order = Order(0, 7, source.steps_per_epoch(7))
    assert order.steps_per_epoch == 8 and drawn(source, order, 12) == drawn(named, order, 12)
    assert drawn(source, order, 3, first_step=9) == drawn(named, order, 12)[9:]


def test_its_files_are_told_by_name_size_and_content(data_dir):
    named, lying = TFDS("tiny_images", data_dir), TFDS("tfds", prepared(data_dir))
    assert named.digest() == lying.digest() != ""
    names = [line.split("  ")[1] for line in read_contents(named).text.decode().splitlines()]
    folder = {name for name in os.listdir(prepared(data_dir)) if "-of-" in name}
    assert set(names) == folder and len(names) == len(folder)
    assert read_contents(named).digest == read_contents(lying).digest


def test_images_stay_encoded(data_dir):
    source = TFDS("tiny_images", data_dir)
    _, handle = next(iter(source.draw(Order(0, 6, 10))))
    encoded = source.load(handle)
    assert encoded.dtype == tf.string and encoded.numpy().startswith(b"\x89PNG")


def test_describe_names_file_and_record(data_dir):
    source = TFDS("tiny_images", data_dir)
    names = {name.decode() for _, name in flat(drawn(source, Order(0, 6, 10), 10))}
    assert len(names) == 60
    pattern = re.escape(prepared(data_dir)) + r"/tiny_images-train\..*-0000[0-3]-of-00004#\d+"
    assert all(re.fullmatch(pattern, name) for name in names)


def test_evaluation_reads_train_as_bank_and_test_as_queries(data_dir):
    source = TFDS("tiny_images", data_dir)
    for part, levels in (("bank", range(60)), ("queries", range(100, 112))):
        handles, labels = zip(*source.evaluation(part), strict=True)
        rows = [int(decode(source.load(handle))[0, 0, 0]) for handle in handles]
        assert rows == list(map(int, labels)) and sorted(rows) == list(levels)
        assert source.class_names[levels[0]] == str(levels[0])
        assert [int(label) for _, label in source.evaluation(part)] == rows


@pytest.mark.parametrize("name", ["no_such_images", "not a name!"])
def test_an_unknown_name_is_told(data_dir, name):
    told = f"^--dataset={name}: neither patches, folder, hf, tfrecord, tfds nor a data set"
    with pytest.raises(UserError, match=told) as error:
        TFDS(name, data_dir)
    assert "\n" not in str(error.value)


def test_a_data_set_without_images_is_told(tmp_path):
    prepare_tiny_images(str(tmp_path), image="scan")
    with pytest.raises(UserError, match="has features .*scan.*; expected one named 'image'"):
        TFDS("tiny_images", str(tmp_path))


def test_a_data_set_kept_in_another_format_is_told(tmp_path):
    info = types.SimpleNamespace(file_format=types.SimpleNamespace(value="riegeli"))
    builder = types.SimpleNamespace(info=info, data_dir="DIR")
    with pytest.raises(UserError, match="is kept as riegeli in DIR; expected tfrecord or array_record"):
        tfds._records("--dataset=tiny_images", builder, None, None)


def test_a_folder_that_is_no_prepared_data_set_is_told(tmp_path):
    for data_dir in (None, str(tmp_path)):
        with pytest.raises(UserError, match="no dataset_info.json there; expected the folder of a"):
            TFDS("tfds", data_dir)
    (tmp_path / "dataset_info.json").write_text("{")
    told = "expected a data set that tensorflow-datasets prepared"
    with pytest.raises(UserError, match=told) as error:
        TFDS("tfds", str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_name_with_the_folder_of_one_data_set_is_told(data_dir):
    told = "is itself a prepared data set; .*try: --dataset=tfds --data_dir"
    with pytest.raises(UserError, match=told):
        TFDS("tiny_images", prepared(data_dir))


def test_tensorflow_datasets_own_data_sets_can_be_prepared(tmp_path):
    import tensorflow_datasets

    assert tensorflow_datasets.builder("cifar10", data_dir=str(tmp_path)).url_infos


@pytest.mark.parametrize("module", ["importlib_resources", "tensorflow_datasets"])
def test_what_is_missing_of_the_extra_is_told_with_what_installs_it(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    missing = rf"--dataset=cifar10, .*: {module} is not installed; try: pip install '.*\[tfds\]'"
    with pytest.raises(UserError, match=missing):
        TFDS("cifar10", str(tmp_path))
