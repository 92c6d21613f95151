"""Features of a data set under an encoder."""

import numpy as np
import tensorflow as tf

from mocotf import terminal
from mocotf.data.views.formats import FORMATS
from mocotf.errors import UserError


def batches(encode, views, look=None):
    """Yields (features `[n, C]` float32, labels `[n]` int64) of a dataset of (images, labels) batches.

    Args:
        encode: maps images `[n, S, S, 3]` to features `[n, …]`, which are flattened.
        views: a finite dataset, as `centre_views` makes.
        look: is shown (images, features, labels) of each batch, arrays; see `Album`.
    """
    for images, labels in views:
        features = tf.cast(encode(images), tf.float32)
        features, labels = tf.reshape(features, [len(labels), -1]).numpy(), labels.numpy()
        if look:
            look(images, features, labels)
        terminal.advance(len(labels))
        yield features, labels


def extract(encode, views, look=None):
    """Returns what `batches` yields, as one: (features `[N, C]` float32, labels `[N]` int64).

    Raises:
        UserError: the dataset is empty.
    """
    found = list(batches(encode, views, look))
    if not found:
        raise nothing_decodes()
    features, labels = zip(*found, strict=True)
    return np.concatenate(features), np.concatenate(labels)


def nothing_decodes():
    """Returns the error of a labelled set of which nothing is left."""
    return UserError(
        f"no labelled image decodes; expected {FORMATS}; try python -m mocotf.check_data, which says "
        "what is wrong with each"
    )
