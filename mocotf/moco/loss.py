"""The contrastive loss (arXiv 1911.05722, Eq. 1)."""

import math

import tensorflow as tf

from mocotf.nn.products import product

FAR = 1e4  # below any cosine: what is so far has no share in a softmax, and is nearer than nothing


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
    return loss, rank_of(positive, negatives)


def info_nce_among(q, keys, rows, T, itself=None):
    """Returns the InfoNCE loss of queries whose keys are among `keys`; the others are negatives.

    Args:
        q: queries `[n, C]`, unit length, float32 or float64.
        keys: `[N, C]`.
        rows: of the queries' own keys, an integer type, `[n]`.
        T: temperature, above 0.
        itself: rows of the queries themselves, where they are among the keys, which do not count.

    Returns:
        (loss, rank, similarities): loss and rank as `info_nce` has them; the mean cosines of queries
        with their keys and with their negatives, scalars.
    """
    cosines = product(q, keys)  # [n, N]
    positive = tf.gather(cosines, rows, batch_dims=1)
    own = tf.cast(tf.size(positive), cosines.dtype)
    total, count = tf.reduce_sum(cosines), tf.cast(tf.size(cosines), cosines.dtype)
    if itself is not None:  # of unit length
        cosines -= FAR * tf.one_hot(itself, tf.shape(keys)[0], dtype=cosines.dtype)
        total, count = total - own, count - own
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(rows, cosines / T)
    rank = rank_of(positive, cosines) - 1  # its own key is one of them
    others = (total - tf.reduce_sum(positive)) / (count - own)
    similarities = tf.reduce_mean(positive), others
    return tf.reduce_mean(losses), rank, [tf.stop_gradient(x) for x in similarities]


def nce(positive, negatives, log_Z, N):
    """Returns the loss of noise-contrastive estimation, mean over queries (arXiv 1805.01978, Eq. 7).

    With P(i|f) = exp(l_i) / Z and noise that is uniform over N images, the posterior of an image being
    the query's own and no noise is h = P / (P + m/N); the loss is -log h(i) - Σ log(1 - h(j)).

    Args:
        positive: logits l of the queries' own images, `[n]`.
        negatives: those of m images drawn for each, `[n, m]`.
        log_Z: logarithm of the normalising constant.
        N: images.
    """
    # h is the sigmoid of l - c.
    c = log_Z + tf.math.log(tf.cast(tf.shape(negatives)[1], log_Z.dtype) / N)
    losses = tf.math.softplus(c - positive) + tf.reduce_sum(tf.math.softplus(negatives - c), axis=1)
    return tf.reduce_mean(losses)


def nce_chance(m):
    """Returns the `nce` loss of a model to which all images are the same: each h is 1 / (1 + m)."""
    return math.log(1 + m) + m * math.log(1 + 1 / m)


def logits(q, k, queue, T):
    """Returns q·k⁺/T `[n]` and q·queueᵀ/T `[n, K]`; arguments as in `info_nce`."""
    positive = tf.reduce_sum(q * k, axis=1) / T
    # Scaling q is n·C multiplications, scaling the product n·K.
    negatives = product(q / T, queue)
    return positive, negatives


def rank_of(positive, negatives):
    """Returns the number of `negatives` `[n, K]` at least as near as `positive` `[n]`, int32 `[n]`."""
    # Ties, and NaN, count against the key: a collapsed encoder must not look perfect.
    nearer = tf.logical_not(negatives < positive[:, None])
    return tf.reduce_sum(tf.cast(nearer, tf.int32), axis=1)


def chance(K, directions=1):
    """Returns the loss of a model that has learned nothing: log(K + 1) for each direction summed."""
    return directions * math.log(K + 1)
