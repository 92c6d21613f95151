"""ImageNet's layout of TFRecord shards: what is found, counted, parsed, and what a mistake is told."""

import pytest
import tensorflow as tf

from mocotf.data.sources.base import Order
from mocotf.data.sources.tfrecord import TFRecords
from mocotf.data.sources.tfrecord import count_records
from mocotf.data.views.decode import or_else
from mocotf.errors import UserError
from tests.data.support import drawn
from tests.data.support import example
from tests.data.support import write_records


def image(shard, i, **more):
    return example(image__encoded=f"{shard}-{i}".encode(), **more)


def write_shards(folder, name, counts, label=None):
    for shard, count in enumerate(counts):
        path = folder / f"{name}-{shard:05}-of-{len(counts):05}"
        labels = [{"image__class__label": label + i} if label else {} for i in range(count)]
        write_records(str(path), [image(shard, i, **more) for i, more in enumerate(labels)])


def shard(folder, number, of=3, name="train"):
    return f"{folder}/{name}-{number:05}-of-{of:05}"


def loaded(source):
    """Returns {name: encoded image} of one epoch of batches of one."""
    handles = source.draw(Order(0, 1, source.size)).take(source.size).map(lambda _, handle: handle)
    return {source.describe(h).numpy().decode(): source.load(h).numpy() for h in handles}


def test_a_folder_of_shards_with_labels(tmp_path):
    write_shards(tmp_path, "train", [4, 6, 5], label=1)
    write_shards(tmp_path, "validation", [2, 1], label=1000)
    (tmp_path / "labels.txt").write_text("not a shard")
    source = TFRecords(str(tmp_path))
    assert (source.name, source.size, source.shape) == ("tfrecord", 15, None)
    assert source.evaluation_sizes == (15, 3) and source.bad_shards == () and source.in_sequence
    assert source.steps_per_epoch(4) == 3 and source.steps_per_epoch(4, 2) == 3
    every = [(s, i) for s, count in enumerate([4, 6, 5]) for i in range(count)]
    assert loaded(source) == {f"{shard(tmp_path, s)}#{i}": f"{s}-{i}".encode() for s, i in every}
    rows = [(source.load(h).numpy(), int(label)) for h, label in source.evaluation("queries")]
    assert rows == [(b"0-0", 1000), (b"0-1", 1001), (b"1-0", 1000)]
    assert [int(label) for _, label in source.evaluation("bank")] == [1 + i for _, i in every]


def test_a_pattern_of_shards_without_labels(tmp_path):
    write_shards(tmp_path / "sub", "part", [3, 2])
    source = TFRecords(f"{tmp_path}/sub/part-*")
    assert source.size == 5 and source.evaluation_sizes == (0, 0)
    assert set(loaded(source).values()) == {b"0-0", b"0-1", b"0-2", b"1-0", b"1-1"}


def test_paths_are_tensorflow_s(tmp_path):
    write_shards(tmp_path, "train", [3, 2])
    source = TFRecords(f"file://{tmp_path}")
    assert source.size == 5 and len(loaded(source)) == 5
    assert count_records(f"file://{shard(tmp_path, 0, 2)}") == (3, None)


def test_a_worker_may_resume_a_run_at_any_step(tmp_path):
    write_shards(tmp_path, "train", [6, 6])
    source = TFRecords(str(tmp_path))
    for worker in range(2):
        order = Order(1, 4, source.steps_per_epoch(4, 2), worker, 2)
        assert drawn(source, order, 1, first_step=4) == drawn(source, order, 5)[4:]


def test_empty_and_truncated_shards_are_named_and_the_rest_is_used(tmp_path):
    write_shards(tmp_path, "train", [4, 6, 5])
    write_shards(tmp_path, "validation", [2])
    open(shard(tmp_path, 0), "wb").close()
    with open(shard(tmp_path, 1), "r+b") as file:
        file.truncate(tf.io.gfile.stat(file.name).length - 3)
    with open(shard(tmp_path, 0, 1, "validation"), "r+b") as file:
        file.truncate(5)  # within a header
    source = TFRecords(str(tmp_path))
    assert source.bad_shards == (
        f"{shard(tmp_path, 0)}: empty",
        f"{shard(tmp_path, 1)}: cut short after 5 records",
        f"{shard(tmp_path, 0, 1, 'validation')}: cut short after 0 records",
    )
    assert source.size == 10
    assert set(loaded(source)) == {f"{shard(tmp_path, s)}#{i}" for s in (1, 2) for i in range(5)}


def test_a_given_number_of_images_is_believed(tmp_path, monkeypatch):
    write_shards(tmp_path, "train", [0, 3, 3, 3])
    monkeypatch.setattr("mocotf.data.sources.tfrecord.count_records", None)
    source = TFRecords(str(tmp_path), num_images=9)
    assert source.size == 9 and source.bad_shards == (f"{shard(tmp_path, 0, 4)}: empty",)
    assert source.steps_per_epoch(3, 3) == 3 and len(loaded(source)) == 9


def test_a_record_without_an_image_fails_to_decode_and_is_named(tmp_path):
    broken = [image(0, 0), example(image__class__label=7), b"\xff no example", image(0, 3)]
    write_records(str(tmp_path / "train-0"), broken)
    source = TFRecords(str(tmp_path))
    attempts = source.draw(Order(0, 1, 4)).map(
        lambda _, handle: (source.describe(handle), *or_else(lambda: source.load(handle), b""))
    )
    rows = {name.numpy().decode()[-1]: (bool(ok), data.numpy()) for name, ok, data in attempts.take(4)}
    assert rows["0"] == (True, b"0-0") and rows["3"] == (True, b"0-3")
    assert rows["1"] == (True, b"") and rows["2"] == (False, b"")


def test_evaluation_leaves_out_records_without_a_label(tmp_path):
    labelled = [image(0, i, image__class__label=i) for i in range(3)]
    write_records(str(tmp_path / "train-0"), [*labelled, image(0, 3), b"\xff no example"])
    write_records(str(tmp_path / "validation-0"), labelled)
    source = TFRecords(str(tmp_path))
    assert [int(label) for _, label in source.evaluation("bank")] == [0, 1, 2]
    assert source.evaluation_sizes == (5, 3)  # counted by headers


@pytest.mark.parametrize("label", [b"cat", 0.5, [1, 2]])
def test_labels_that_are_no_single_integer_are_none(tmp_path, label):
    for name in ("train-0", "validation-0"):
        write_records(str(tmp_path / name), [image(0, i, image__class__label=label) for i in range(3)])
    source = TFRecords(str(tmp_path))
    assert source.size == 3 and source.evaluation_sizes == (0, 0)


def test_no_shards_are_told(tmp_path):
    for data_dir in (tmp_path, f"{tmp_path}/*.tfrecord", tmp_path / "nowhere"):
        with pytest.raises(UserError, match="no shards found; expected a folder of train-"):
            TFRecords(str(data_dir))


def test_shards_without_records_are_told(tmp_path):
    (tmp_path / "train-0").write_bytes(b"")
    (tmp_path / "train-1").write_text("text, rather than records")
    with pytest.raises(UserError, match="no records in 2 files, .*train-0; expected uncompressed"):
        TFRecords(str(tmp_path))


def test_records_of_other_features_are_told(tmp_path):
    write_records(str(tmp_path / "train-0"), [example(jpg=b"pixels", cls=3)] * 10)
    with pytest.raises(UserError, match="have features cls, jpg; expected one named image/encoded"):
        TFRecords(str(tmp_path))
