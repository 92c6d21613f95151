"""ArrayRecord files: any record by its number, from many threads at once."""

import concurrent.futures
import types

import pytest
import tensorflow as tf

from mocotf.data.sources.array_record import ArrayRecordFiles
from mocotf.data.sources.base import Order
from tests.data.support import drawn
from tests.data.support import flat

COUNTS = (5, 7, 4)  # the last file is the queries'


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    module = pytest.importorskip("array_record.python.array_record_module")
    folder = tmp_path_factory.mktemp("array_records")
    files = []
    for number, count in enumerate(COUNTS):
        path = str(folder / f"{number}.array_record")
        writer = module.ArrayRecordWriter(path, "group_size:1")
        for i in range(count):
            writer.write(f"{path}#{i}\0".encode())
        writer.close()
        files.append(types.SimpleNamespace(filename=path, skip=0, take=count, examples_in_shard=count))
    return files


@pytest.fixture(scope="module")
def source(files):
    return ArrayRecordFiles("--dataset=numbers", files[:2], files[2:])


def test_each_number_is_its_record_s(source, files):
    names = [f"{file.filename}#{i}" for file in files for i in range(file.take)]
    for number, name in enumerate(names):
        handle = tf.constant(number, tf.int64)
        assert source.load(handle).numpy() == f"{name}\0".encode()  # any byte, at any place
        assert source.describe(handle).numpy() == name.encode()


def test_parts_are_read_in_order(source):
    assert [int(handle) for handle in source.in_order("bank")] == list(range(12))
    assert [int(handle) for handle in source.in_order("queries")] == list(range(12, 16))


def test_training_draws_the_bank_only(source):
    order = Order(0, 4, source.steps_per_epoch(4, 1))
    steps = drawn(source, order, 3)
    assert drawn(source, order, 1, first_step=2) == steps[2:]
    names = [name for _, name in flat(steps)]
    assert order.steps_per_epoch == 3 and len(set(names)) == 12
    assert not any(b"2.array_record" in name for name in names)


def test_many_threads_read_at_once(files):
    def read(number):
        return fresh.load(tf.constant(number, tf.int64)).numpy()

    numbers = list(range(16)) * 20
    expected = [f"{f.filename}#{i}\0".encode() for f in files for i in range(f.take)] * 20
    fresh = ArrayRecordFiles("--dataset=numbers", files)  # no reader is open yet
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, numbers)) == expected
    again = ArrayRecordFiles("--dataset=numbers", files)
    records = tf.data.Dataset.from_tensor_slices(tf.constant(numbers, tf.int64))
    assert list(records.map(again.load, num_parallel_calls=8).as_numpy_iterator()) == expected
