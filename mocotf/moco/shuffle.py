"""Shuffled batch norm (arXiv 1911.05722, §3.3): keys must not share statistics with their queries.

The key images of all replicas are permuted, encoded in the new order, and the keys put back, so that
the batch statistics a key sees come from another subset than its query's. Queries stay in place.
"""

import tensorflow as tf


def permutation(seed, step, direction, N):
    """Returns a random permutation of range(N), int32 `[N]`: a pure function of the arguments.

    Being stateless it is the same on every replica without communication, and after a resume.
    """
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    # Left to choose, TensorFlow and XLA draw differently from the same key.
    key = tf.random.experimental.stateless_fold_in(key, tf.cast(direction, tf.int64), alg="philox")
    draws = tf.random.stateless_uniform(
        [N], key, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.argsort(draws, stable=True)


def all_gather(x):
    """Returns `x` `[n, …]` of every replica, concatenated in replica order to `[N, …]`."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return x
    # A tensor straight from the input iterator carries no device, which all_gather needs.
    return replica.all_gather(tf.identity(x), axis=0)


def own_share(x):
    """Returns this replica's n rows of the global `x` `[N, …]`."""
    replica = tf.distribute.get_replica_context()
    n = tf.shape(x)[0] // replica.num_replicas_in_sync
    start = tf.cast(replica.replica_id_in_sync_group, tf.int32) * n
    return x[start : start + n]
