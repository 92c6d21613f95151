"""What a step of contrastive learning reports."""

import tensorflow as tf

METRICS = ("loss", "acc1", "acc5", "feature_std", "positive_similarity", "negative_similarity")


def summary(loss, rank, looks):
    """Returns `METRICS` by name, float32 scalars.

    Args:
        loss: scalar.
        rank: of the queries' keys, see `info_nce`, int32 `[n]`.
        looks: of each direction, (`spread`, mean similarity of positives, of negatives).
    """
    values = loss, top(1, rank), top(5, rank), *tf.unstack(tf.reduce_mean(looks, axis=0))
    return {name: tf.cast(x, tf.float32) for name, x in zip(METRICS, values, strict=True)}


def top(j, rank):
    """Returns the percentage of queries whose key is among the `j` most similar."""
    return 100 * tf.reduce_mean(tf.cast(rank < j, tf.float32))


def spread(q):
    """Returns the standard deviation of unit vectors `[n, C]` over the batch, times √C."""
    return tf.sqrt(tf.reduce_sum(tf.math.reduce_variance(tf.stop_gradient(q), axis=0)))


def similarities(q, k, negatives):
    """Returns the mean of q·k⁺ and the mean of q·negativesᵀ, scalars.

    Args:
        q, k: queries and their keys, `[n, C]`.
        negatives: those of all queries, `[K, C]`.
    """
    q = tf.stop_gradient(q)
    positive = tf.reduce_mean(tf.reduce_sum(q * k, axis=1))
    # The mean of all products is the product of the means: K·C multiplications less a query.
    negative = tf.reduce_sum(tf.reduce_mean(q, axis=0) * tf.reduce_mean(negatives, axis=0))
    return positive, negative
