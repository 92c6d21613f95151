"""Records read in sequence: their order, how workers divide them, keys, resuming, damaged files."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.sources.base import Order
from mocotf.data.sources.records import RecordFiles
from mocotf.errors import UserError
from tests.data.support import drawn
from tests.data.support import flat
from tests.data.support import write_records

COUNTS = [8, 0, 12, 4, 8, 4, 12]  # 48 records, which two or three workers can divide evenly


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    paths = [str(folder / f"train-{file}") for file in range(len(COUNTS))]
    for path, count in zip(paths, COUNTS, strict=True):
        write_records(path, [f"{path}#{i}".encode() for i in range(count)])
    return paths


@pytest.fixture(scope="module")
def source(paths):
    return RecordFiles("--data_dir=DIR", paths, COUNTS, queries=paths[:1])


def order(source, batch_size=6, worker=0, workers=1, seed=5):
    return Order(seed, batch_size, source.steps_per_epoch(batch_size, workers), worker, workers)


def every(paths, counts=COUNTS):
    return {f"{path}#{i}".encode() for path, n in zip(paths, counts, strict=True) for i in range(n)}


def test_an_epoch_has_each_record_once_in_an_order_of_its_own(source, paths):
    steps = drawn(source, order(source), 24)
    epochs = [flat(steps[8 * epoch : 8 * epoch + 8]) for epoch in range(3)]
    for epoch in epochs:
        assert {name for _, name in epoch} == every(paths) and len(epoch) == 48
    assert len({tuple(name for _, name in epoch) for epoch in epochs}) == 3


def test_describe_names_what_load_returns(source):
    handles = source.draw(order(source), 0).map(lambda _, handle: handle)
    for handle in handles.take(20):
        assert source.load(handle) == source.describe(handle)


def test_neighbours_in_a_file_are_torn_apart(tmp_path):
    path = str(tmp_path / "train-0")
    write_records(path, [f"{path}#{i}".encode() for i in range(60)])
    source = RecordFiles("--data_dir=DIR", [path], [60])
    numbers = [int(name.split(b"#")[1]) for _, name in flat(drawn(source, order(source), 10))]
    assert sorted(numbers) == list(range(60)) and np.mean(np.diff(numbers) == 1) < 0.1


def test_workers_see_no_record_twice_and_keys_do_not_depend_on_them(source, paths):
    alone = {name: key for key, name in flat(drawn(source, order(source), 8))}
    assert set(alone) == every(paths)
    for workers in (2, 3):
        orders = [order(source, worker=worker, workers=workers) for worker in range(workers)]
        shares = [flat(drawn(source, own, own.steps_per_epoch)) for own in orders]
        seen = [(name, key) for share in shares for key, name in share]
        assert len(seen) == 48 and dict(seen) == alone


def test_workers_read_the_same_files_in_every_epoch(source):
    own = order(source, worker=1, workers=2)
    steps = drawn(source, own, 16)
    assert {n for _, n in flat(steps[:8])} == {n for _, n in flat(steps[8:])}
    assert [n for _, n in flat(steps[:8])] != [n for _, n in flat(steps[8:])]


def test_keys_are_of_one_record_and_one_epoch(source):
    keys = [key for key, _ in flat(drawn(source, order(source), 80))]
    assert len(set(keys)) == 480 and min(keys) >= 0


def test_an_epoch_is_as_long_as_the_worker_with_fewest_records_allows(source, paths):
    assert source.steps_per_epoch(6, 1) == 8 and source.steps_per_epoch(10, 1) == 4
    assert source.steps_per_epoch(6, 3) == 8 and source.steps_per_epoch(9, 3) == 5
    uneven = RecordFiles("--data_dir=DIR", paths[:3], COUNTS[:3])  # 8 and 12 of 20
    assert uneven.steps_per_epoch(4, 1) == 5 and uneven.steps_per_epoch(4, 2) == 4


@pytest.mark.parametrize(("workers", "first_steps"), [(1, (1, 8)), (3, (7, 12))])
def test_a_run_is_resumed_at_any_step(source, workers, first_steps):
    own = order(source, worker=workers - 1, workers=workers)
    whole = drawn(source, own, 18)
    for first_step in first_steps:
        assert drawn(source, own, 18 - first_step, first_step) == whole[first_step:]


def test_order_is_a_function_of_the_seed_alone(source, paths):
    images = drawn(source, order(source), 16)
    tf.random.set_seed(12345)
    again = RecordFiles("--data_dir=DIR", paths, COUNTS)
    for threads in (1, 4):
        assert drawn(again, order(source), 16, threads=threads) == images
    other = drawn(source, order(source, seed=6), 16)
    assert other != images
    # Seed 6's first epoch is not seed 5's second.
    assert [name for _, name in flat(other[:8])] != [name for _, name in flat(images[8:])]


def test_fewer_files_than_workers_is_told(source):
    with pytest.raises(UserError, match="DIR: 6 files with records for 7 workers; expected at least"):
        source.steps_per_epoch(7, 7)
    assert source.steps_per_epoch(6, 6) == 4


def test_a_damaged_file_leaves_epochs_as_long_as_they_were(paths, tmp_path):
    with open(paths[2], "rb") as file:  # of 12 records
        content = bytearray(file.read())
    content[content.index(b"#5") + 1] ^= 1  # within the sixth
    (tmp_path / "train-2").write_bytes(content)
    bad = str(tmp_path / "train-2")
    source = RecordFiles("--data_dir=DIR", [*paths[:2], bad, *paths[3:]], COUNTS)
    steps = drawn(source, order(source), 24)
    for epoch in range(3):
        images = flat(steps[8 * epoch : 8 * epoch + 8])
        names = [name for _, name in images]
        assert len(set(names)) == 48 - 7 and len(names) == 48
        assert sum(name.startswith(bad.encode()) for name in names[:41]) == 5  # the ones before
        assert names[41:] == names[:7]  # the epoch begins again
        assert {key >> 48 for key, _ in images} == {epoch}
    assert drawn(source, order(source), 4, first_step=20) == steps[20:]


def test_a_file_that_is_gone_ends_the_run(paths, tmp_path):
    source = RecordFiles("--data_dir=DIR", [*paths[:2], str(tmp_path / "gone")], COUNTS[:3])
    with pytest.raises(tf.errors.NotFoundError, match="gone"):
        drawn(source, order(source), 1)


def test_files_without_one_whole_record_end_the_run(tmp_path):
    (tmp_path / "text").write_text("no records are here, but text")
    source = RecordFiles("--data_dir=DIR", [str(tmp_path / "text")], [12])
    with pytest.raises(tf.errors.FailedPreconditionError, match="expected to contain 12 elements"):
        drawn(source, order(source), 1)


def test_evaluation_reads_in_order(source, paths):
    names = [source.describe(handle).numpy() for handle in source.in_order("bank")]
    assert names == [f"{p}#{i}".encode() for p, n in zip(paths, COUNTS, strict=True) for i in range(n)]
    names = [source.describe(handle).numpy() for handle in source.in_order("queries")]
    assert names == [f"{paths[0]}#{i}".encode() for i in range(8)]
    assert not list(RecordFiles("", paths, COUNTS).in_order("queries"))
