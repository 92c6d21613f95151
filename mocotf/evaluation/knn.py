"""Weighted k-nearest-neighbour classification (Wu et al., arXiv 1805.01978, §3.4)."""

import numpy as np
import tensorflow as tf


def knn_top1(bank, bank_labels, queries, query_labels, *, k=200, T=0.07, batch_size=512):
    """Returns the top-1 accuracy, in percent, of a weighted vote among the k most similar images.

    Neighbour i votes for its class with weight exp(s_i / T), s being the cosine similarity.

    Args:
        bank: features `[N, C]` of labelled images, float32, any scale.
        bank_labels: int `[N]`.
        queries: features `[M, C]`.
        query_labels: int `[M]`.
        k: neighbours; all of the bank where it has fewer.
        T: temperature.
        batch_size: queries compared at a time: memory is batch_size × N floats.
    """
    bank = tf.math.l2_normalize(tf.constant(bank, tf.float32), axis=1)
    bank_labels = tf.constant(bank_labels, tf.int64)
    classes = int(tf.reduce_max(bank_labels)) + 1
    correct = 0
    for start in range(0, len(queries), batch_size):
        rows = slice(start, start + batch_size)
        q = tf.math.l2_normalize(tf.constant(queries[rows], tf.float32), axis=1)
        similarity, nearest = tf.math.top_k(tf.matmul(q, bank, transpose_b=True), min(k, len(bank)))
        # The largest similarity is taken off so that small T cannot overflow; votes keep their ratio.
        weight = tf.exp((similarity - similarity[:, :1]) / T)
        ballots = tf.one_hot(tf.gather(bank_labels, nearest), classes)  # [b, k, classes]
        votes = tf.einsum("bk,bkc->bc", weight, ballots)
        correct += np.sum(tf.argmax(votes, axis=1).numpy() == query_labels[rows])
    return 100.0 * float(correct) / len(queries)
