"""Images of other channels than RGB, as files have them: TIFF, PNG, .npy, DICOM, and what Pillow opens.

Values are those of the file, with all bits, in its own units: nothing is stretched, clipped or
converted. Of TIFF and .npy the channels may be first or last, those of TIFF pages, too. A file is
refused whose channels are not as many as expected, and one with a NaN or an infinite value.
"""

import io

import numpy as np
import tensorflow as tf

from mocotf.data.views.decode import read_png
from mocotf.data.views.decode import starts
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import format_of
from mocotf.data.views.other_formats import npy
from mocotf.data.views.other_formats import opened

MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # of Pillow's


def decode_channels(encoded, channels, python=True):
    """Returns float32 `[h, w, channels]` of the bytes of an image file, a string scalar; fails in the
    graph for what is none, or has others. `python` as `decode` has it: without, PNG only is read."""

    def other():
        if not python:
            return tf.zeros([0, 0, 0])
        return tf.numpy_function(_in_graph, [encoded, channels], tf.float32, stateful=False)

    def png():
        return tf.cast(read_png(encoded), tf.float32)

    image = tf.cond(starts(encoded, "PNG"), png, other)
    fits = tf.debugging.Assert(tf.shape(image)[-1] == channels, ["other channels, or no image"])
    with tf.control_dependencies([fits]):
        return tf.ensure_shape(tf.identity(image), [None, None, channels])


def values_of(content, channels):
    """Returns the values `[h, w, channels]` of an image file's bytes.

    Raises:
        Exception: of any type: it is no image, or not one of so many channels.
    """
    if format_of(content) != "PNG":
        return _by_python(content, channels)
    values = read_png(tf.constant(content)).numpy()
    return _channels_last(values, channels)


def _by_python(content, channels):
    """Returns `values_of` a file that is no PNG, of the file's type."""
    kind = format_of(content)
    if kind == "NPY":
        values = npy(content)
    elif kind == "TIFF":
        values = _tiff(content)
    elif kind == "DICOM":
        from mocotf.data.views import dicom  # pydicom may not be installed

        values = dicom.values_of(content)
    else:
        with opened(content) as image:
            _check_size(image.width * image.height)
            if image.mode not in MODES:
                raise ValueError(f"{kind} of mode {image.mode}; expected one of {', '.join(MODES)}")
            values = np.asarray(image)
    values = _channels_last(values, channels)
    if values.dtype.kind not in "uif":
        raise ValueError(f"values of type {values.dtype}; expected integers or floats")
    if not np.isfinite(values).all():
        raise ValueError("has a NaN or an infinite value")
    return values


def _in_graph(content, channels):
    """Returns `_by_python` as float32, or no channels for no image: TensorFlow prints exceptions."""
    try:
        return _by_python(np.asarray(content, object).item(), int(channels)).astype(np.float32)
    except Exception:  # decoders fail in many ways
        return np.zeros([0, 0, 0], np.float32)


def _channels_last(values, channels):
    while values.ndim > 3 and 1 in values.shape:
        values = values.squeeze(values.shape.index(1))
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim == 3 and values.shape[-1] != channels and values.shape[0] == channels:
        values = np.moveaxis(values, 0, -1)
    if values.ndim != 3 or values.shape[-1] != channels:
        sides = " x ".join(map(str, values.shape))
        raise ValueError(f"an array of {sides}; expected {channels} channels, first or last")
    return values


def _tiff(content):
    import tifffile  # takes a while, and few need it

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        _check_size(file.series[0].size)
        return file.series[0].asarray()


def _check_size(values):
    if values > 3 * MAX_PIXELS:
        raise ValueError(f"{values} values, more than {3 * MAX_PIXELS}")
