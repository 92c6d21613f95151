"""What replicas exchange within a step."""

import tensorflow as tf


def all_gather(x):
    """Returns `x` `[n, …]` of every replica, n the same, concatenated in replica order to `[N, …]`.

    Its gradient is this replica's share of the sum of all replicas' gradients. That of TensorFlow's own
    operator, which gathers them once more, is not.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return x

    @tf.custom_gradient
    def gather(x):
        def gradient(dy):
            summed = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.convert_to_tensor(dy))
            return own_share(summed)

        # A tensor straight from the input iterator carries no device, which all_gather needs.
        everyone = replica.all_gather(tf.identity(x), axis=0)
        # It forgets the shape, by which layers choose how they compute.
        n, *rest = x.shape
        everyone.set_shape([n and n * replica.num_replicas_in_sync, *rest])
        return everyone, gradient

    return gather(x)


def own_share(x):
    """Returns this replica's n rows of the global `x` `[N, …]`."""
    replica = tf.distribute.get_replica_context()
    n = tf.shape(x)[0] // replica.num_replicas_in_sync
    start = tf.cast(replica.replica_id_in_sync_group, tf.int32) * n
    return x[start : start + n]


def own_rows(x):
    """Returns the rows, int32 `[n]`, that this replica's `x` `[n, …]` has in the global batch."""
    n = tf.shape(x)[0]
    replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
    return replica * n + tf.range(n)
