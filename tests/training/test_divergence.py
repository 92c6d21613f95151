"""Batches that are left out, and the order of those that remain."""

import tensorflow as tf

from mocotf.training.divergence import SkippedBatches


def numbers_from(first):
    return tf.data.Dataset.range(first, 10**9)


def test_batches_are_left_out_for_good_and_from_any_step():
    skipped = SkippedBatches()
    skipped.skip([5, 2, 6])
    assert skipped.batches == [2, 5, 6]
    expected = [0, 1, 3, 4, 7, 8, 9]
    for step in range(5):
        assert skipped.batch_of(step) == expected[step]
        batches = skipped.dataset_from(step, numbers_from).take(7 - step)
        assert list(batches.as_numpy_iterator()) == expected[step:]


def test_nothing_is_left_out_at_first():
    skipped = SkippedBatches()
    assert skipped.batches == [] and skipped.batch_of(7) == 7
    assert next(iter(skipped.dataset_from(7, numbers_from))).numpy() == 7
