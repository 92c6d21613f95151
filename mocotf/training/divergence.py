"""A run whose numbers are no longer finite, and the way back."""

import bisect

import numpy as np
import tensorflow as tf

MOST_SKIPPED = 100


class DivergenceError(Exception):
    """The loss or the gradients of a step were not finite; since then nothing was saved.

    Attributes:
        step: the first such step, counted from 1.
    """

    def __init__(self, step):
        super().__init__(step)
        self.step = step


class SkippedBatches:
    """The batches that a run leaves out, because a step on them diverged.

    Attributes:
        variable: their numbers, int64 `[MOST_SKIPPED]`, of which -1 is none; it is in checkpoints.
    """

    def __init__(self):
        self.variable = tf.Variable(tf.fill([MOST_SKIPPED], tf.constant(-1, tf.int64)), trainable=False)

    @property
    def batches(self):
        """The numbers of the skipped batches, ascending."""
        return sorted(int(b) for b in self.variable.numpy() if b >= 0)

    def batch_of(self, step):
        """Returns the number of the batch that step takes, both counted from 0."""
        batch = step
        for skipped in self.batches:
            if skipped <= batch:
                batch += 1
        return batch

    def skip(self, batches):
        """Sets which batches are skipped, `MOST_SKIPPED` at most."""
        values = np.full(MOST_SKIPPED, -1, np.int64)
        values[: len(batches)] = sorted(batches)
        self.variable.assign(values)

    def dataset_from(self, step, batches_from):
        """Returns the dataset of the batches of `step` and all that follow.

        Args:
            step: of the run, counted from 0.
            batches_from: batch → endless dataset whose first element is that batch.
        """
        first, skipped = self.batch_of(step), self.batches
        pieces = []
        for batch in skipped[bisect.bisect(skipped, first) :]:
            pieces.append(batches_from(first).take(batch - first))
            first = batch + 1
        whole = batches_from(first)
        for piece in pieces[::-1]:
            whole = piece.concatenate(whole)
        return whole
