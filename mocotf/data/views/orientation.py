"""EXIF's orientation: how a stored picture is to be turned and mirrored to be upright."""

import io

import numpy as np
import tensorflow as tf

from mocotf.data.places.survey import look_into


def upright(pixels, encoded):
    """Returns an image `[h, w, 3]` turned as the EXIF of its file says.

    Args:
        pixels: as they are stored.
        encoded: the file's bytes, a string scalar.
    """
    number = tf.numpy_function(_orientation, [encoded], tf.int32)
    turned = tf.transpose(pixels, [1, 0, 2])
    ways = (
        *(lambda: pixels, lambda: pixels[:, ::-1], lambda: pixels[::-1, ::-1], lambda: pixels[::-1]),
        *(lambda: turned, lambda: turned[:, ::-1], lambda: turned[::-1, ::-1], lambda: turned[::-1]),
    )
    return tf.ensure_shape(tf.switch_case(number - 1, ways), [None, None, 3])


def _orientation(encoded):
    content = np.asarray(encoded, object).item()  # eagerly an array, in a graph bytes
    return np.int32(look_into(io.BytesIO(content))[1])
