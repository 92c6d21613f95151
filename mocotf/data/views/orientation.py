"""EXIF's orientation: how a stored picture is to be turned and mirrored to be upright.

It is read where the standards have it: in a JPEG's segment APP1, a PNG's chunk eXIf, a WebP's chunk
EXIF. Each has a mark that, with what begins behind it, no picture's bytes have by chance; to look for
it is quicker than to go from part to part. All of it is operators of TensorFlow's, which a data service
and a served graph can run; what is damaged says nothing, and fails nothing.
"""

import tensorflow as tf

from mocotf.data.views.channels import decode_channels
from mocotf.data.views.decode import decode
from mocotf.data.views.decode import starts
from mocotf.data.views.formats import MAGIC
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.other_formats import orientation_in_graph

PREFIX = b"Exif\0\0"  # before the TIFF file that EXIF is: always in a JPEG, sometimes in a WebP
SEARCHED = 1 << 16  # bytes of a JPEG: EXIF comes first, and is no longer than that
TAG = 0x0112
ENTRY = 12  # bytes of a tag: number, type, count, value


def decode_image(encoded, upright, python=True, channels=None, max_pixels=MAX_PIXELS):
    """Returns uint8 RGB `[h, w, 3]` of the bytes of an image file, as `decode` does, or float32
    `[h, w, channels]`, as `decode_channels`.

    Args:
        encoded: the bytes, a string scalar.
        upright: turned as its EXIF says, a bool; else as it is stored.
        python: as `decode` has it.
        channels: of images that are not RGB, see `Augmentation`.
        max_pixels: as `DataSettings` has it; of an image that is turned half as many.
    """
    if upright:
        number = orientation(encoded, python)
        max_pixels = most_turned(max_pixels, number)
    if channels:
        pixels = decode_channels(encoded, channels, python, max_pixels)
    else:
        pixels = decode(encoded, python, max_pixels)
    return turned(pixels, number) if upright else pixels


def most_turned(max_pixels, number):
    """Returns how many pixels, an int64 scalar, an image of an orientation may have: half as many where
    it is turned, for both copies are there for a while."""
    return tf.cast(max_pixels, tf.int64) // tf.where(number > 1, tf.constant(2, tf.int64), 1)


def orientation(encoded, python=True):
    """Returns what EXIF says of an image file, int32 scalar: from 1, it is upright, to 8.

    Args:
        encoded: the file's bytes, a string scalar.
        python: as `decode` has it.
    """
    if not python:
        return _by_mark(encoded)

    def other():
        return tf.ensure_shape(
            tf.numpy_function(orientation_in_graph, [encoded], tf.int32, stateful=False), []
        )

    known = tf.reduce_any([starts(encoded, name) for name in MAGIC])
    return tf.cond(known, lambda: _by_mark(encoded), other)


def _by_mark(encoded):
    jpeg, webp = starts(encoded, "JPEG"), starts(encoded, "WEBP")
    mark = tf.where(jpeg, PREFIX, tf.where(webp, b"EXIF", b"eXIf"))
    searched = tf.strings.substr(encoded, 0, tf.where(jpeg, SEARCHED, tf.strings.length(encoded)))
    parts = tf.strings.split(searched[None], mark, maxsplit=1).flat_values

    def found():
        exif = tf.strings.join([parts[1], bytes(2 * ENTRY)])  # more than is read of the shortest
        exif = tf.strings.substr(exif, tf.where(webp, 4, 0), SEARCHED)  # behind its length
        begin = tf.where(_has(exif, PREFIX), len(PREFIX), 0)
        return _in_tiff(tf.strings.substr(exif, begin, SEARCHED))

    return tf.cond(tf.size(parts) > 1, found, lambda: tf.constant(1))


def turned(pixels, number):
    """Returns an image `[h, w, C]` upright.

    Args:
        pixels: as they are stored.
        number: its `orientation`.
    """

    def across():  # within its way: outside of them it would be made of every image
        return tf.transpose(pixels, [1, 0, 2])

    ways = (
        *(lambda: pixels, lambda: pixels[:, ::-1], lambda: pixels[::-1, ::-1], lambda: pixels[::-1]),
        *(across, lambda: across()[:, ::-1], lambda: across()[::-1, ::-1], lambda: across()[::-1]),
    )
    return tf.ensure_shape(tf.switch_case(number - 1, ways), [None, None, pixels.shape[2]])


def turned_sides(sides, number):
    """Returns (height, width), int32 `[2]`, of what `turned` makes of an image of these."""
    return tf.where(number > 4, sides[::-1], sides)


def stored_window(window, sides, number):
    """Returns the window of the stored image that `turned` makes a window of the upright one.

    Args:
        window: top, left, height, width, int32 `[4]`.
        sides: of the upright image, int32 `[2]`.
        number: its `orientation`.
    """
    begin, size = window[:2], window[2:]
    mirrored = tf.gather([[0, 0], [0, 1], [1, 1], [1, 0]] * 2, number - 1) > 0  # rows, columns
    begin = tf.where(mirrored, sides - begin - size, begin)
    return tf.concat([turned_sides(begin, number), turned_sides(size, number)], axis=0)


def _in_tiff(tiff):
    """Returns the orientation that the first directory of a TIFF file has, 1 without."""
    is_big = _has(tiff, b"MM\0*")
    data = tf.io.decode_raw(tiff, tf.uint8)

    def number(digits, n):
        """Returns the numbers that `[…, n]` bytes are, int64 `[…]`."""
        digits = tf.cast(tf.where(is_big, digits, digits[..., ::-1]), tf.int64)
        return tf.reduce_sum(digits * [256 ** (n - 1 - i) for i in range(n)], axis=-1)

    # What points beyond the end is read as far as there is something.
    at = tf.minimum(number(data[4:8], 4), tf.size(data, tf.int64) - 2)
    entries = data[at + 2 :][: ENTRY * number(data[at : at + 2], 2)]
    entries = tf.reshape(entries[: tf.size(entries) // ENTRY * ENTRY], [-1, ENTRY])
    values = tf.boolean_mask(number(entries[:, 8:10], 2), number(entries[:, :2], 2) == TAG)
    value = tf.concat([values, [1]], axis=0)[0]
    known = (is_big | _has(tiff, b"II*\0")) & (value >= 1) & (value <= 8)
    return tf.where(known, tf.cast(value, tf.int32), 1)


def _has(text, beginning):
    return tf.strings.substr(text, 0, len(beginning)) == beginning
