"""The ring buffer."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.moco.queue import Queue
from mocotf.moco.queue import mean_age


def test_starts_as_unit_rows_decided_by_the_seed():
    a, b, c = (Queue(50, 8, seed=seed).keys.numpy() for seed in (1, 1, 2))
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.1
    # Normal rows have no preferred direction: the mean of 50 is near the centre.
    assert np.linalg.norm(a.mean(axis=0)) < 0.5


# 16 keys went into 10 rows: 12..15 are those of step 3, at rows 2..5. One batch is replaced whole.
@pytest.mark.parametrize(("rows", "pointer"), [([2, 2, 3, 3, 3, 3, 1, 1, 2, 2], 6), ([3, 3, 3, 3], 0)])
def test_overwrites_the_oldest_rows_and_wraps_where_k_is_no_multiple_of_the_batch(rows, pointer):
    queue = Queue(len(rows), 3, seed=0)
    for step in range(4):
        queue.enqueue(tf.fill([4, 3], float(step)))
    np.testing.assert_array_equal(queue.keys.numpy(), np.transpose([rows] * 3))
    assert queue.pointer.numpy() == pointer


@pytest.mark.parametrize("count", [2, 4])
def test_every_replica_holds_the_same_rows_and_pointer(replicas, count):
    strategy = replicas(count)
    with strategy.scope():
        queue = Queue(10, 3, seed=0)

    @tf.function
    def enqueue(value):
        strategy.run(lambda: queue.enqueue(tf.fill([4, 3], value)))

    for value in (1.0, 2.0, 3.0):
        enqueue(tf.constant(value))
    for variable in (queue.keys, queue.pointer):
        copies = [copy.numpy() for copy in strategy.experimental_local_results(variable)]
        assert len(copies) == count
        for copy in copies:
            np.testing.assert_array_equal(copy, copies[0])
    assert queue.pointer.numpy() == 2


@pytest.mark.parametrize(("K", "enqueued"), [(12, 4), (10, 4), (3, 3), (65536, 512)])
def test_the_mean_age_is_that_of_the_keys_a_step_sees(K, enqueued):
    written = np.full(K, np.nan)  # the step that wrote each row
    for step in range(1, 9):
        ages = step - written[~np.isnan(written)]
        assert mean_age(step, enqueued, K) == (ages.mean() if len(ages) else 0)
        written[((step - 1) * enqueued + np.arange(enqueued)) % K] = step
    assert mean_age(10**6, 256, 65536) == 128.5
