"""The dictionary: a ring buffer of keys (arXiv 1911.05722, §3.2)."""

import tensorflow as tf

from mocotf.moco.per_replica import per_replica_variable


class Queue(tf.Module):
    """The newest K keys, `[K, C]`, and the row where the next is written.

    Every replica holds the same rows, because every replica enqueues the same keys.

    Args:
        K: number of keys.
        C: dimension of a key.
        seed: of the initial rows, normal and scaled to unit length.
        dtype: of the keys, float32 or float64.
    """

    def __init__(self, K, C, *, seed, dtype=tf.float32):
        super().__init__(name="queue")
        noise = tf.random.stateless_normal([K, C], seed=[seed, K], dtype=dtype)
        self.keys = per_replica_variable(tf.math.l2_normalize(noise, axis=1), "keys")
        self.pointer = per_replica_variable(tf.zeros([], tf.int64), "pointer")
        self.K = K

    def enqueue(self, k):
        """Overwrites the oldest keys by `k` `[N, C]`, N ≤ K, wrapping at the end of the buffer."""
        N = tf.shape(k, out_type=tf.int64)[0]
        rows = (self.pointer + tf.range(N)) % self.K
        # The method of the same name is not implemented for on-read variables.
        tf.raw_ops.ResourceScatterNdUpdate(
            ref=self.keys.handle, indices=rows[:, None], updates=tf.cast(k, self.keys.dtype)
        )
        self.pointer.assign((self.pointer + N) % self.K)


def mean_age(step, enqueued, K):
    """Returns how old, in steps, the keys are on average that a step compares its queries with.

    The keys of the step before are 1 step old. Rows into which no key was written yet do not count.

    Args:
        step: from 1.
        enqueued: keys a step.
        K: keys in the queue.

    Returns:
        float, 0 where there are no keys yet; (K / enqueued + 1) / 2 once the queue is full.
    """
    keys = min(K, (step - 1) * enqueued)
    whole, rest = divmod(keys, enqueued)  # steps all of whose keys are there, and keys of one more
    ages = enqueued * whole * (whole + 1) / 2 + rest * (whole + 1)
    return ages / keys if keys else 0.0
