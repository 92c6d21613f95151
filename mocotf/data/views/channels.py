"""Images of other channels than RGB, as files have them: TIFF, PNG, .npy, DICOM, and what Pillow opens.

Values are those of the file, with all bits, in its own units: nothing is stretched, clipped or
converted. Of TIFF and .npy the channels may be first or last, those of TIFF pages, too. A file is
refused whose channels are not as many as expected, and one with a NaN or an infinite value.
"""

import contextlib
import io

import numpy as np
import tensorflow as tf

from mocotf import extras
from mocotf.data.views.decode import read_png
from mocotf.data.views.decode import starts
from mocotf.data.views.formats import COST_OF_DEEP
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import format_of
from mocotf.data.views.other_formats import admitted
from mocotf.data.views.other_formats import npy
from mocotf.data.views.other_formats import npy_type
from mocotf.data.views.other_formats import opened

MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # of Pillow's


def decode_channels(encoded, channels, python=True, max_pixels=MAX_PIXELS):
    """Returns float32 `[h, w, channels]` of the bytes of an image file, a string scalar; fails in the
    graph for what is none, or has others. `python` and `max_pixels` as `decode` has them: without
    Python, PNG only is read."""

    def other():
        if not python:
            return tf.zeros([0, 0, 0])
        asked = [encoded, channels, max_pixels]
        return tf.numpy_function(_in_graph, asked, tf.float32, stateful=False)

    def png():
        return tf.cast(read_png(encoded, max_pixels), tf.float32)

    image = tf.cond(starts(encoded, "PNG"), png, other)
    fits = tf.debugging.Assert(tf.shape(image)[-1] == channels, ["other channels, or no image"])
    with tf.control_dependencies([fits]):
        return tf.ensure_shape(tf.identity(image), [None, None, channels])


def values_of(content, channels, max_pixels=MAX_PIXELS):
    """Returns the values `[h, w, channels]` of an image file's bytes.

    Raises:
        Exception: of any type: it is no image, or not one of so many channels, or too large.
    """
    if format_of(content) != "PNG":
        return _by_python(content, channels, max_pixels)
    values = read_png(tf.constant(content), max_pixels).numpy()
    return _channels_last(values, channels)


def _by_python(content, channels, max_pixels):
    """Returns `values_of` a file that is no PNG, of the file's type."""
    with contextlib.ExitStack() as stack:
        shape, size, read = _header(content, stack)
        # A value is held twice as it is stored, and as float32 where it is made and where it goes to.
        with admitted(content, shape, 2 * size + 8, max_pixels):
            values = read()
    values = _channels_last(values, channels)
    if values.dtype.kind not in "uif":
        raise ValueError(f"values of type {values.dtype}; expected integers or floats")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("has a NaN or an infinite value")
    return values


def _in_graph(content, channels, max_pixels):
    """Returns `_by_python` as float32, or no channels for no image: TensorFlow prints exceptions."""
    try:
        content = np.asarray(content, object).item()
        values = _by_python(content, int(channels), int(max_pixels))
        return values.astype(np.float32, copy=False)
    except Exception:  # decoders fail in many ways
        return np.zeros([0, 0, 0], np.float32)


def _values_of_tiff(series):
    try:
        return series.asarray()
    except Exception:
        if series.keyframe.compression > 1:  # tifffile knows a few itself
            extras.require("imagecodecs", "TIFF that is so compressed")
        raise


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


def _header(content, stack):
    """Returns (shape, bytes a value, () → the array) of a file that is no PNG.

    Args:
        content: its bytes.
        stack: an `ExitStack`, which closes what was opened to be read.
    """
    kind = format_of(content)
    if kind == "NPY":
        shape, dtype = npy_type(content)
        return shape, dtype.itemsize, lambda: npy(content)
    if kind == "TIFF":
        import tifffile  # takes a while, and few need it

        series = stack.enter_context(tifffile.TiffFile(io.BytesIO(content))).series[0]
        return series.shape, series.dtype.itemsize, lambda: _values_of_tiff(series)
    if kind == "DICOM":
        from mocotf.data.views import dicom  # pydicom may not be installed

        file = dicom.opened(content)
        shape = file.Rows, file.Columns, file.get("SamplesPerPixel", 1)
        return shape, dicom.RESCALED, lambda: dicom.values_of(file)
    image = stack.enter_context(opened(content))
    if image.mode not in MODES:
        raise ValueError(f"{kind} of mode {image.mode}; expected one of {', '.join(MODES)}")
    return (image.width, image.height), COST_OF_DEEP, lambda: np.asarray(image)
