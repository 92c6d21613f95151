"""Images of other channels than RGB, as files have them: TIFF, PNG, .npy and what else Pillow opens.

Values are those of the file, of all its bits, in its own units; nothing is stretched, clipped or
converted. A file is refused whose channels are not as many as expected, or that has a NaN or an
infinite value.
"""

import io

import numpy as np
import tensorflow as tf
import tifffile
from PIL import Image

from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import format_of

NPY = b"\x93NUMPY"
DTYPES = (np.uint8, np.uint16, np.int16, np.uint32, np.int32, np.float16, np.float32, np.float64)


def decode_channels(encoded, channels):
    """Returns float32 `[h, w, channels]` of the bytes of an image file, a string scalar; fails in the
    graph where they are none."""
    pixels = tf.numpy_function(_in_graph, [encoded, channels], tf.float32, stateful=False)
    with tf.control_dependencies([tf.debugging.Assert(tf.size(pixels) > 0, ["no image"])]):
        return tf.ensure_shape(tf.identity(pixels), [None, None, channels])
