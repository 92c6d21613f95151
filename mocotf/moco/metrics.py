"""What a step of contrastive learning reports."""

import dataclasses

import tensorflow as tf

from mocotf.metrics import LOSS
from mocotf.metrics import Metric

_FOUND = "queries nearer to their own key than to all K others"
_POSITIVE, _NEGATIVE = "pretext/positive_similarity", "pretext/negative_similarity"
CONTRAST = (
    dataclasses.replace(LOSS, meaning="InfoNCE; log(K+1) where nothing is told apart"),
    Metric("acc1", "pretext/acc1", "Key found, %", _FOUND, short="acc1"),
    Metric("acc5", "pretext/acc5", short="acc5"),
    Metric("positive_similarity", _POSITIVE, "Similarity to the own key", "q·k⁺, mean of a batch"),
    Metric("negative_similarity", _NEGATIVE, "Similarity to negatives", "q·k⁻, mean of a batch"),
)
REPORTED = ("loss", "acc1", "acc5", "feature_std", "positive_similarity", "negative_similarity")


def summary(loss, rank, looks):
    """Returns what is `REPORTED` by name, float32 scalars.

    Args:
        loss: scalar.
        rank: of the queries' keys, see `info_nce`, int32 `[n]`.
        looks: of each direction, (`spread`, mean similarity of positives, of negatives).
    """
    values = loss, top(1, rank), top(5, rank), *tf.unstack(tf.reduce_mean(looks, axis=0))
    return {name: tf.cast(x, tf.float32) for name, x in zip(REPORTED, values, strict=True)}


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
