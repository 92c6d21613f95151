"""Features of a data set under an encoder."""

import numpy as np
import tensorflow as tf


def extract(encode, views):
    """Returns (features `[N, C]` float32, labels `[N]`) of a dataset of (images, labels) batches.

    Args:
        encode: maps images `[n, S, S, 3]` to features `[n, …]`, which are flattened.
        views: a finite dataset, as `centre_views` makes.
    """
    features, labels = [], []
    for images, label in views:
        feature = tf.cast(encode(images), tf.float32)
        features.append(tf.reshape(feature, [len(label), -1]).numpy())
        labels.append(label.numpy())
    return np.concatenate(features), np.concatenate(labels)
