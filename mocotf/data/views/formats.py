"""Which formats of image files are read, by what a file is told to be of one, and by whom.

TensorFlow's operators read those of `MAGIC`, everywhere; Pillow, pydicom and NumPy the `OTHERS`, where
Python can be reached. The names are Pillow's.
"""

import functools
import re

from mocotf import extras

MAX_PIXELS, SERVED_PIXELS = 120_000_000, 40_000_000  # of an image, by default and in exported graphs
OLD_MAX_PIXELS = 178_956_970  # of runs made before it was a setting: Pillow's own limit
CHEAPEST = 4  # bytes a pixel of an image may cost where it has the largest number of pixels
SHARE = 3  # of what one image may cost, the part from which on images are decoded one at a time
# Bytes that a pixel costs, the picture and what its decoder makes on the way, beside copies of the
# file; JPEG is in `limits`, for it depends on the file. At the default limit JPEG, PNG, GIF, BMP and
# lossy WebP were measured to take 380 to 460 MB, and JPEG of 56 MB, which is copied twice, 513.
COSTS = {"PNG": 4, "PNG16": 15, "GIF": 6, "BMP": 12, "WEBP": 16, "WEBP lossy": 4}
COSTS |= {"TIFF": 9, "PPM": 9, "JPEG2000": 21, "AVIF": 18, "HEIF": 18, "DICOM": 30}
COST_OF_DEEP = 30  # of what Python decodes, and has more than 8 bits a channel
FORMATS = "JPEG, PNG, TIFF or another format of docs/guides/data.md"  # whatever a file's name says
MAGIC = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "GIF": b"GIF8",
    "BMP": b"BM",
    "WEBP": b"RIFF",
}
HEAD = 132  # bytes of a file that tell its format
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes of the second header
OTHERS = {
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "PPM": rb"P[1-6]\s+[\d#]",
    # A container's brands: of one that only says what is common to both, its own is among the others.
    "AVIF": rb".{4}ftyp(.{4}){,24}?avi[fs]",
    "HEIF": rb".{4}ftyp(.{4}){,24}?he[iv][cxms]",
    "DICOM": rb".{128}DICM",
    "NPY": rb"\x93NUMPY",
}
ENDINGS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
    "DICOM": (".dcm", ".dicom"),
    "NPY": (".npy",),
}
EXTRAS = {"HEIF": "pillow_heif", "DICOM": "pydicom"}  # modules of extras


def expected(channels=None):
    """Returns what files are to be, a phrase; `channels` of images that are not RGB."""
    return f"{FORMATS}, of {channels} channels" if channels else FORMATS


def budget(max_pixels):
    """Returns the bytes that one image may cost, see `COSTS`, where so many pixels are allowed."""
    return CHEAPEST * max_pixels


@functools.cache
def is_installed(name):
    """Returns whether what reads a format, a key of `ENDINGS`, is there."""
    return name not in EXTRAS or extras.is_installed(EXTRAS[name])


@functools.cache
def endings():
    """Returns the endings of names, bytes in lower case, of the formats that are read here."""
    read = (of for name, of in ENDINGS.items() if is_installed(name))
    return tuple(ending.encode() for of in read for ending in of)


def what_reads(ending):
    """Returns what to type to have files of an ending read, a phrase; empty where nothing is wanted."""
    missing = (EXTRAS[n] for n in EXTRAS if ending in ENDINGS[n] and not is_installed(n))
    return "".join(f": to read them: {extras.command(module)}" for module in missing)


def format_of(content):
    """Returns a key of `ENDINGS` by the first HEAD bytes of a file; None of what is not read here."""
    for name, magic in MAGIC.items():
        if content.startswith(magic):  # of two of them others begin so, too
            bmp = int.from_bytes(content[14:18], "little") in BMP_HEADERS
            return name if {"BMP": bmp, "WEBP": content[8:12] == b"WEBP"}.get(name, True) else None
    found = (name for name, begin in OTHERS.items() if re.match(begin, content, re.DOTALL))
    return next(filter(is_installed, found), None)
