"""The contrastive loss (arXiv 1911.05722, Eq. 1)."""

import math

import tensorflow as tf


def info_nce(q, k, queue, T):
    """Returns the InfoNCE loss of queries against their keys and the queue, and the rank of the key.

    The loss is the cross-entropy of the (K+1)-way softmax over [q·k⁺, q·queueᵀ] / T with label 0,
    `-log(exp(q·k⁺/T) / Σ exp(·/T))`, computed without joining positive and negative logits.

    Args:
        q: queries `[n, C]`, unit length, float32 or float64.
        k: the matching keys `[n, C]`.
        queue: keys of earlier batches `[K, C]`, the negatives.
        T: temperature, above 0.

    Returns:
        (loss, rank): mean loss, a scalar; and for each query the number of negatives at least
        as similar as its key, int32 `[n]`: the pretext task's top-j accuracy is the share of
        `rank < j`.
    """
    positive, negatives = logits(q, k, queue, T)
    log_sum_negatives = tf.reduce_logsumexp(negatives, axis=1)
    # -log(e^p / (e^p + e^s)) = log(1 + e^(s - p))
    loss = tf.reduce_mean(tf.math.softplus(log_sum_negatives - positive))
    # Ties, and NaN, count against the key: a collapsed encoder must not look perfect.
    nearer = tf.logical_not(negatives < positive[:, None])
    rank = tf.reduce_sum(tf.cast(nearer, tf.int32), axis=1)
    return loss, rank


def logits(q, k, queue, T):
    """Returns q·k⁺/T `[n]` and q·queueᵀ/T `[n, K]`; arguments as in `info_nce`."""
    positive = tf.reduce_sum(q * k, axis=1) / T
    # Scaling q is n·C multiplications, scaling the product n·K.
    negatives = tf.matmul(q / T, queue, transpose_b=True)
    return positive, negatives


def chance(K, directions=1):
    """Returns the loss of a model that has learned nothing: log(K + 1) for each direction summed."""
    return directions * math.log(K + 1)
