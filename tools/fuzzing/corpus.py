"""Images of every format that is read, of many sizes and depths, made here: what is then damaged."""

import functools
import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

from mocotf.data.views.formats import is_installed
from mocotf.data.views.other_formats import ORIENTATION
from mocotf.data.views.other_formats import register

SIDES = ((1, 1), (1, 300), (300, 1), (30, 40), (120, 160))  # height, width
EXIF = b"turned"  # stands for EXIF of a picture that lies on its side
MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "CMYK", "I;16", "I", "F"),
    "JPEG2000": ("L", "RGB", "RGBA"),
    "PPM": ("1", "L", "RGB"),
    "AVIF": ("L", "RGB", "RGBA"),
    "HEIF": ("L", "RGB"),
}
OPTIONS = {
    "JPEG": ({}, {"progressive": True}, {"subsampling": 0, "exif": EXIF}),
    "WEBP": ({}, {"lossless": True}, {"exif": EXIF}),
    "PNG": ({}, {"exif": EXIF}),
    "TIFF": (
        {},
        {"compression": "tiff_lzw"},
        {"compression": "tiff_adobe_deflate"},
        {"big_tiff": True},
    ),
}
ANIMATED = ("GIF", "PNG", "WEBP", "TIFF")
COLOURS = {"gray": (0, 1), "RGB": (2, 3), "palette": (3, 1), "gray and alpha": (4, 2), "RGBA": (6, 4)}
DEPTHS = {"gray": (1, 2, 4, 8, 16), "palette": (1, 2, 4, 8)}
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
HUGE = ((1, 65500), (2000, 1), (10000, 11000), (23000, 23000))
HUGE_SHARE = 0.005  # of the draws: one takes a second


def draw(chance):
    """Returns an image file by the draws of a `random.Random`."""
    register()
    if chance.random() < HUGE_SHARE:
        return png(*chance.choice(HUGE), "gray", 1, black=True)
    kinds = [*filter(is_installed, MODES), "DICOM", "NPY", "channels", "rare PNG"]
    kind = chance.choice(kinds if is_installed("DICOM") else [k for k in kinds if k != "DICOM"])
    sides = chance.choice(SIDES)
    if kind == "DICOM":
        return dicom_file(chance.randrange(3))
    if kind in ("NPY", "channels"):
        dtype, channels = chance.choice(("u1", "u2", "f4")), chance.choice((1, 3, 4, 7))
        return array_file(kind, *sides, channels, dtype, first=chance.random() < 0.5)
    if kind == "rare PNG":
        colour = chance.choice([*COLOURS])
        depth = chance.choice(DEPTHS.get(colour, (8, 16)))
        return png(*sides, colour, depth, interlaced=chance.random() < 0.5)
    way = chance.randrange(len(OPTIONS.get(kind, ({},))))
    solid, animated = chance.random() < 0.2, chance.random() < 0.1 and kind in ANIMATED
    made = by_pillow(kind, chance.choice(MODES[kind]), *sides, way, solid, animated)
    return made if made else draw(chance)


@functools.cache
def by_pillow(kind, mode, height, width, way, solid, animated):
    """Returns the file of a picture; None where Pillow writes none in this mode, or of these sides.

    Of one colour, `solid`, is what stays small where its header is made to say that it is large.
    """
    image, options = picture(mode, height, width, solid), OPTIONS.get(kind, ({},))[way]
    if "exif" in options:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        options = options | {"exif": exif.tobytes()}
    if animated:
        options = options | {"save_all": True, "append_images": [image.rotate(180)]}
    file = io.BytesIO()
    try:
        image.save(file, kind, **options)
    except (OSError, ValueError, KeyError, RuntimeError):
        return None
    return file.getvalue()


def picture(mode, height, width, solid=False):
    """Returns a picture of Pillow's: smooth waves and a little noise, or one colour."""
    levels = pixels(height, width, 3) * (not solid)
    if mode in ("I;16", "I", "F"):
        deep = levels[..., 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
        return Image.fromarray(deep * 257)
    image = Image.fromarray(levels)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(levels[..., 0]))
    return image.convert(mode)


def pixels(height, width, channels):
    """Returns uint8 levels `[height, width, channels]`."""
    rng = np.random.default_rng(height * 1000 + width)
    y, x, c = np.meshgrid(*map(np.arange, (height, width, channels)), indexing="ij")
    waves = 128 + 90 * np.sin(x / 7 + c) * np.cos(y / 9 - c)
    return np.clip(waves + rng.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


@functools.cache
def png(height, width, colour, depth, interlaced=False, black=False):
    """Returns the bytes of a PNG, by hand: Pillow writes neither few bits, nor Adam7, nor what is huge.

    Args:
        colour: a key of `COLOURS`.
        depth: bits of a channel.
        interlaced: by Adam7.
        black: a picture that is not held as a whole.
    """
    number, channels = COLOURS[colour]
    packer = zlib.compressobj(1)
    row_bytes = -(-width * channels * depth // 8) + 1
    if black:
        data = b"".join(packer.compress(bytes(row_bytes)) for _ in range(height))
    else:
        levels = pixels(height, width, channels)
        passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
        data = b"".join(packer.compress(rows(levels[y::dy, x::dx], depth)) for y, x, dy, dx in passes)
    head = struct.pack(">IIBBBBB", width, height, depth, number, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if colour == "palette" else b""
    if colour == "palette" and depth < 8:
        palette = chunk(b"PLTE", bytes(range(3 << depth)))
    body = chunk(b"IDAT", data + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + body + chunk(b"IEND", b"")


def chunk(name, content):
    """Returns a chunk of a PNG."""
    length, checksum = len(content), zlib.crc32(name + content)
    return struct.pack(">I", length) + name + content + struct.pack(">I", checksum)


def rows(levels, depth):
    """Returns the rows of a PNG of levels `[h, w, channels]`, each behind its filter's number."""
    if not levels.size:
        return b""
    flat = levels.reshape(len(levels), -1)
    if depth == 16:
        packed = (flat.astype(">u2") * 257).view(np.uint8)
    else:
        bits = np.unpackbits((flat >> (8 - depth))[..., None], axis=-1)[..., 8 - depth :]
        packed = np.packbits(bits.reshape(len(flat), -1), axis=-1)
    return np.pad(packed, ((0, 0), (1, 0))).tobytes()


@functools.cache
def array_file(kind, height, width, channels, dtype, first):
    """Returns a .npy, or a TIFF of `kind` "channels"; `first` of the axes are the channels, or last."""
    values, file = pixels(height, width, channels).astype(dtype), io.BytesIO()
    if channels == 1:
        values = values[..., 0]
    elif first:
        values = np.moveaxis(values, -1, 0)
    if kind == "NPY":
        np.save(file, values)
    else:
        planar = None if channels == 1 else "separate" if first else "contig"
        tifffile.imwrite(file, values, photometric="minisblack", planarconfig=planar)
    return file.getvalue()


@functools.cache
def dicom_file(which):
    """Returns a DICOM of 16 bits, of frames, or of colour."""
    from tests.data import dicom_files  # pydicom may not be installed

    gray = pixels(30, 40, 1)[..., 0]
    if which == 0:
        return dicom_files.dicom(gray.astype(np.uint16) * 16, **dicom_files.WINDOW)
    return dicom_files.dicom(*((np.stack([gray, gray]),) if which == 1 else (pixels(30, 40, 3), "RGB")))
