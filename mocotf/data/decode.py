"""From an encoded image to pixels, and what happens when that fails."""

import logging
import os

import numpy as np
import tensorflow as tf

from mocotf.data import crop

log = logging.getLogger(__name__)

DCT = "INTEGER_ACCURATE"  # as Pillow's; the default, the fast one, is several grey levels off


def decode(encoded):
    """Returns uint8 RGB `[h, w, 3]` of a JPEG, PNG, BMP or GIF (its first frame)."""
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=DCT),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, [None, None, 3])


def random_crops(encoded, draws, size, min_area):
    """Returns one random resized crop for each row of `draws`, decoding no more than needed.

    Args:
        encoded: the image file's bytes, a string scalar.
        draws: uniforms `[views, DRAWS]`.
        size, min_area: see `Augmentation`.

    Returns:
        float32 `[views, size, size, 3]` in [0, 1].
    """

    def jpeg():
        shape = tf.io.extract_jpeg_shape(encoded)
        windows = crop.sample_window(draws, shape[0], shape[1], min_area)
        cuts = [
            tf.image.decode_and_crop_jpeg(encoded, window, channels=3, dct_method=DCT)
            for window in tf.unstack(tf.stack(windows, axis=1), num=draws.shape[0])
        ]
        return tf.stack([crop.resize(cut, size) for cut in cuts])

    def other():
        image = decode(encoded)
        shape = tf.shape(image)
        windows = tf.stack(crop.sample_window(draws, shape[0], shape[1], min_area), axis=1)
        cuts = [
            image[w[0] : w[0] + w[2], w[1] : w[1] + w[3]]
            for w in tf.unstack(windows, num=draws.shape[0])
        ]
        return tf.stack([crop.resize(cut, size) for cut in cuts])

    crops = tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
    return tf.ensure_shape(crops, [draws.shape[0], size, size, 3]) / 255


class BadImages:
    """Counts and names the images that did not decode, each once.

    Args:
        path: file to which names are written, one a line; None keeps them in memory only.
    """

    def __init__(self, path=None):
        self.names = []
        self._path = path
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                self.names = lines.read().splitlines()

    def report(self, name):
        """Takes note of `name`, bytes; meant for `tf.numpy_function`."""
        name = name.decode(errors="backslashreplace")
        if name not in self.names:
            self.names.append(name)
            log.warning("skipped %s: it does not decode (%d so far)", name, len(self.names))
            if self._path:
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write(name + "\n")
        return np.int32(len(self.names))


def or_else(make, fallback):
    """Returns (True, make()), or (False, fallback) where an operation of `make` fails.

    TensorFlow's graphs have no exceptions; a data set that ignores errors is how they catch one.
    """
    attempt = tf.data.Dataset.from_tensors(0).map(lambda _: (True, make())).ignore_errors()
    otherwise = tf.data.Dataset.from_tensors((False, fallback))
    return attempt.concatenate(otherwise).take(1).get_single_element()
