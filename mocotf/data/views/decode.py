"""From an encoded image to pixels, and what happens when that fails.

By TensorFlow: JPEG, PNG, GIF (its first frame), BMP and WebP, told by content, not by name; others by
`other_formats`. RGB is as Pillow converts it, as it is stored (`orientation` turns it), but where
Pillow loses or invents something:

- Of 16 bits the 8 high ones are kept; Pillow clips gray at 255. A picture without a value above 4095
  (or 255) is taken for one of 12 bits (or 8), as scanners make them: else it would be nearly black.
- CMYK of a JPEG is inverted only if Adobe's marker says so; Pillow always inverts it.
- Transparent pixels of a GIF are black; Pillow shows the palette's colour there.
- The frame of a GIF is used without the canvas around it.

Refused, by the header, before anything is decoded: what costs too much, see `limits`. BMP with 1, 4 or
16 bits a pixel, compressed or of OS/2, and animated WebP are left to Pillow: TensorFlow takes some of
these for something else.
"""

import tensorflow as tf

from mocotf.data.views.formats import COSTS
from mocotf.data.views.formats import MAGIC
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.limits import admitted
from mocotf.data.views.limits import admitted_jpeg
from mocotf.data.views.limits import first_frame
from mocotf.data.views.limits import held
from mocotf.data.views.other_formats import pixels_in_graph

DCT = "INTEGER_ACCURATE"  # as Pillow's; the default, the fast one, is several grey levels off
DEPTH_16 = b"\x10"  # a PNG's 24th byte: bits of a channel
BGR_MASKS = bytes.fromhex("0000ff00 00ff0000 ff000000")  # where a BMP's pixel has red, green, blue
WEBP_SIDE = 1 << 14
CHANNELS_OF_PNG = (1, 4, 3, 4, 2, 4, 4, 4)  # by its kind of colour, byte 25; of what is none, the most
COST_OF_VALUE = 8  # bytes, of a PNG whose values are read: as stored, as uint16, as float32


def decode(encoded, python=True, max_pixels=MAX_PIXELS):
    """Returns uint8 RGB `[h, w, 3]` of the bytes of an image file.

    Args:
        encoded: the bytes, a string scalar.
        python: whether Python, and what it reads, can be reached where the graph runs.
        max_pixels: as `DataSettings` has it.
    """

    def jpeg():
        checked, _, lock = open_jpeg(encoded, max_pixels)
        return held(lock, tf.io.decode_jpeg(checked, channels=3, dct_method=DCT))

    def other():
        # Of a file of a few bytes there is none to look at.
        head = tf.strings.join([tf.strings.substr(encoded, 0, 25), bytes(25)])
        plain = starts(encoded, "PNG") & (tf.strings.substr(head, 24, 1) != DEPTH_16)

        def rare():
            return _decode_rare(tf.ensure_shape(encoded, []), python, max_pixels)

        return tf.cond(plain, lambda: _png(encoded, max_pixels), rare)

    image = tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
    return tf.ensure_shape(image, [None, None, 3])


def open_jpeg(encoded, max_pixels):
    """Returns (the bytes of a JPEG to decode, none if it costs too much; its shape, int32 `[3]`; what
    is to be `held` until it is decoded)."""
    shape = tf.io.extract_jpeg_shape(encoded)
    checked, lock = admitted_jpeg(encoded, shape, max_pixels)
    return checked, shape, lock


def jpeg_window(encoded, window):
    """Returns uint8 RGB `[h, w, 3]` of a window (top, left, h, w) of a JPEG from `open_jpeg`."""
    return tf.image.decode_and_crop_jpeg(encoded, window, channels=3, dct_method=DCT)


def or_else(make, fallback):
    """Returns (True, make()), or (False, fallback) where an operation of `make` fails.

    TensorFlow's graphs have no exceptions; a data set that ignores errors is how they catch one.
    """
    attempt = tf.data.Dataset.from_tensors(0).map(lambda _: (True, make())).ignore_errors()
    otherwise = tf.data.Dataset.from_tensors((False, fallback))
    return attempt.concatenate(otherwise).take(1).get_single_element()


def _png(encoded, max_pixels):
    checked, lock = _open_png(encoded, COSTS["PNG"], max_pixels)
    return held(lock, tf.io.decode_png(checked, channels=3))


def _open_png(encoded, each, max_pixels):
    """Returns `admitted` of a PNG of which a pixel costs so many bytes."""
    width, height = _numbers(encoded, 16, 2, tf.int32, little_endian=False)
    # Behind another chunk, which libpng takes, these are no sides.
    first = tf.strings.substr(encoded, 12, 4) == b"IHDR"
    return admitted(encoded, tf.where(first, height * width, tf.int64.max // each), each, max_pixels)


def _deep_png(encoded, max_pixels):
    """Reads 16 bits a channel, as few of them as the picture makes use of."""
    checked, lock = _open_png(encoded, COSTS["PNG16"], max_pixels)
    levels = tf.io.decode_png(checked, channels=3, dtype=tf.uint16)
    most = tf.cast(tf.reduce_max(levels), tf.int32)
    surplus = tf.where(most > 4095, 8, tf.where(most > 255, 4, 0))
    levels = tf.bitwise.right_shift(levels, tf.cast(surplus, tf.uint16))
    return held(lock, tf.cast(levels, tf.uint8))


# A function apart: inlined, all its operations would cost time where an image is JPEG or PNG, too.
@tf.function(experimental_attributes={"_noinline": True}, autograph=False)
def _decode_rare(encoded, python, max_pixels):
    """Decodes what is neither JPEG nor PNG of 8 bits, and fails for what is no image."""

    def refused():
        return tf.io.decode_png("", channels=3)

    def other():
        if not python:
            return refused()
        pixels = tf.numpy_function(pixels_in_graph, [encoded, max_pixels], tf.uint8, stateful=False)
        return tf.cond(tf.size(pixels) > 0, lambda: pixels, refused)

    readers = {
        "PNG": lambda: _deep_png(encoded, max_pixels),
        "GIF": lambda: _gif(encoded, max_pixels),
        "BMP": lambda: _bmp(encoded, other, max_pixels),
        "WEBP": lambda: _webp(encoded, other, max_pixels),
    }
    return tf.case([(starts(encoded, name), read) for name, read in readers.items()], default=other)


def _gif(encoded, max_pixels):
    height, width, frame = first_frame(encoded)
    checked, lock = admitted(frame, height * width, COSTS["GIF"], max_pixels)
    return held(lock, tf.io.decode_image(checked, channels=3, expand_animations=False))


def _bmp(encoded, other, max_pixels):
    """Reads what TensorFlow reads right, and palettes, whose numbers it gives for levels of gray."""
    start, size, width, height, depth, compression = _numbers(encoded, 10, 6, tf.int32)
    depth //= 65536  # below it the number of planes
    plain = (compression == 0) & ((depth == 8) | (depth == 24) | (depth == 32))
    masked = (compression == 3) & (depth == 32) & (tf.strings.substr(encoded, 54, 12) == BGR_MASKS)

    def read():
        # Photoshop appends two bytes, which TensorFlow does not forgive.
        end = start + (width * depth + 31) // 32 * 4 * tf.abs(height)
        checked, lock = admitted(encoded, tf.abs(height * width), COSTS["BMP"], max_pixels)
        pixels = tf.io.decode_bmp(tf.strings.substr(checked, tf.zeros([], tf.int64), end))

        def coloured():
            palette = tf.strings.substr(encoded, 14 + size, start - 14 - size)
            palette = tf.reshape(tf.io.decode_raw(palette, tf.uint8), [-1, 4])[:, 2::-1]
            return tf.gather(palette, tf.cast(pixels[..., 0], tf.int32))

        return held(lock, tf.cond(depth == 8, coloured, lambda: pixels[..., :3]))

    return tf.cond((size >= 40) & (plain | masked), read, other)


def _webp(encoded, other, max_pixels):
    """Reads still images; alpha has to be asked for, or TensorFlow refuses those that have it."""
    kind = tf.strings.substr(encoded, 12, 4)
    byte = _numbers(encoded, 20, 10, tf.uint8)
    no = tf.constant(False)

    def number(*places):
        return tf.add_n([byte[place] * 256**i for i, place in enumerate(places)])

    def extended():
        return number(4, 5, 6) + 1, number(7, 8, 9) + 1, byte[0] // 2 % 2 > 0, byte[0] // 16 % 2 > 0

    def lossless():
        bits = number(1, 2, 3, 4)
        return bits % WEBP_SIDE + 1, bits // WEBP_SIDE % WEBP_SIDE + 1, no, bits // WEBP_SIDE**2 % 2 > 0

    def lossy():
        return number(6, 7) % WEBP_SIDE, number(8, 9) % WEBP_SIDE, no, no

    width, height, animated, alpha = tf.case(
        [(kind == b"VP8X", extended), (kind == b"VP8L", lossless)], default=lossy
    )
    each = tf.where(kind == b"VP8 ", tf.constant(COSTS["WEBP lossy"], tf.int64), COSTS["WEBP"])
    checked, lock = admitted(encoded, height * width, each, max_pixels)

    def still():
        return tf.cond(
            alpha,
            lambda: tf.io.decode_webp(checked, channels=4)[0, ..., :3],
            lambda: tf.io.decode_webp(checked, channels=3)[0],
        )

    return tf.cond(animated, other, lambda: held(lock, still()))


def starts(encoded, name):
    """Returns whether a file begins as those of a format, a key of `MAGIC`, do."""
    return tf.strings.substr(encoded, 0, len(MAGIC[name])) == MAGIC[name]


def read_png(encoded, max_pixels):
    """Returns a PNG's own channels and bits, uint16 `[h, w, 1 to 4]`; a palette's as its colours."""
    # Each value is held as it is stored, as uint16 and as float32; a palette's have up to four.
    (kind,) = _numbers(encoded, 25, 1, tf.uint8)
    each = COST_OF_VALUE * tf.gather(tf.constant(CHANNELS_OF_PNG, tf.int64), tf.minimum(kind, 7))
    checked, lock = _open_png(encoded, each, max_pixels)
    deep = tf.strings.substr(checked, 24, 1) == DEPTH_16

    def of(dtype):
        return tf.cast(tf.io.decode_png(checked, channels=0, dtype=dtype), tf.uint16)

    return held(lock, tf.cond(deep, lambda: of(tf.uint16), lambda: of(tf.uint8)))


def _numbers(encoded, at, count, dtype, little_endian=True):
    """Returns `count` numbers that a file has from byte `at` on, int64 scalars."""
    raw = tf.strings.substr(encoded, at, count * dtype.size)
    numbers = tf.ensure_shape(tf.io.decode_raw(raw, dtype, little_endian=little_endian), [count])
    return tf.unstack(tf.cast(numbers, tf.int64))
