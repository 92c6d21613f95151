"""The order in which images found by index are drawn: by any number of workers, from any step."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.sources.base import Order
from mocotf.data.sources.base import RandomAccessSource
from mocotf.data.sources.base import shuffled
from tests.data.support import drawn
from tests.data.support import flat


class Numbers(RandomAccessSource):
    """Images that are their numbers."""

    name = "numbers"

    def __init__(self, size):
        self.size = size

    def load(self, handle):
        return handle

    describe = load


SOURCE = Numbers(50)
ORDER = Order(seed=3, batch_size=12, steps_per_epoch=SOURCE.steps_per_epoch(12))


def test_the_last_partial_batch_of_an_epoch_is_dropped():
    assert ORDER.steps_per_epoch == 4
    assert SOURCE.steps_per_epoch(50) == 1 and SOURCE.steps_per_epoch(51) == 0


def test_an_epoch_has_no_image_twice_and_its_own_order():
    epochs = [flat(drawn(SOURCE, ORDER, 4, first_step=4 * epoch)) for epoch in range(3)]
    for epoch in epochs:
        images = [image for _, image in epoch]
        assert len(set(images)) == 48 and set(images) < set(range(50))
    assert len({tuple(image for _, image in epoch) for epoch in epochs}) == 3
    assert [key for epoch in epochs for key, _ in epoch] == list(range(3 * 48))


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_each_batch_of_one(workers):
    alone = drawn(SOURCE, ORDER, 9)
    steps = SOURCE.steps_per_epoch(12, workers)
    shares = [drawn(SOURCE, Order(3, 12, steps, worker, workers), 9) for worker in range(workers)]
    assert [flat(share[step] for share in shares) for step in range(9)] == alone


@pytest.mark.parametrize("first_step", [1, 3, 4, 7])
def test_a_run_is_resumed_at_any_step(first_step):
    for workers in (1, 2):
        order = Order(3, 12, 4, workers - 1, workers)
        assert drawn(SOURCE, order, 9 - first_step, first_step) == drawn(SOURCE, order, 9)[first_step:]


def test_neighbours_and_batches_are_of_one_class_as_often_as_by_chance():
    size, classes, batch_size = 50_000, 10, 500
    positions = tf.range(size, dtype=tf.int64)
    orders = [shuffled(Order(seed, batch_size, 100), 0, positions, size) for seed in range(4)]
    drawn = np.stack(orders) * classes // size  # the images lie class by class
    for apart in (1, 8, 64):
        alike = np.mean(drawn[:, apart:] == drawn[:, :-apart])
        assert alike == pytest.approx(1 / classes, abs=0.003), apart  # 4.5 standard errors
    batches = drawn.reshape(-1, batch_size)
    counts = np.stack([np.bincount(batch, minlength=classes) for batch in batches])
    expected = batch_size / classes
    chi_squared = np.mean(np.sum((counts - expected) ** 2 / expected, 1))
    assert chi_squared == pytest.approx(classes - 1, abs=1)  # 4.7 standard errors


def test_order_is_a_function_of_the_seed_alone():
    images = drawn(SOURCE, ORDER, 9)
    tf.random.set_seed(12345)
    assert drawn(SOURCE, ORDER, 9, threads=1) == drawn(SOURCE, ORDER, 9, threads=4) == images
    assert drawn(SOURCE, Order(4, 12, 4), 9) != images
