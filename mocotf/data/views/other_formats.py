"""Pictures that TensorFlow does not read, by Python: Pillow, its plugins, and pydicom.

RGB is as Pillow converts it, of the first picture where a file has several. What is deeper than 8 bits
becomes `to_levels`; Pillow itself gives of such colour the 8 high bits. Pillow turns a TIFF as its EXIF
says, and libheif an HEIC as its container does: the first is undone here, as `orientation` is to do it;
of the second nothing else is known.
"""

import functools
import io
import logging
import math
import warnings

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import OTHERS
from mocotf.data.views.formats import format_of
from mocotf.data.views.formats import is_installed
from mocotf.data.views.levels import to_levels

ORIENTATION = 0x0112  # EXIF's tag; 1: as it is
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of numbers that are no levels
UNTURNED = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
WHITE_IS_ZERO = 0  # of TIFF's tag 262


def pixels_of(content):
    """Returns uint8 RGB `[h, w, 3]` of an image file's bytes; any exception means that it is none."""
    register()
    if format_of(content) == "DICOM":
        from mocotf.data.views import dicom  # pydicom may not be installed

        return dicom.pixels_of(content)
    if format_of(content) == "NPY":
        return _rgb_of_array(npy(content))
    with opened(content) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS}")
        return _rgb(image)


def pixels_in_graph(content):
    """Returns `pixels_of`, or no pixels for no image: TensorFlow prints exceptions."""
    try:
        return pixels_of(_bytes(content))
    except Exception:  # decoders fail in many ways
        return np.zeros([0, 0, 3], np.uint8)


def orientation_in_graph(content):
    """Returns what EXIF says of the bytes of an image file, np.int32: from 1, it is upright, to 8."""
    try:
        with opened(_bytes(content)) as image:
            return np.int32(exif_orientation(image))
    except Exception:  # as of a DICOM; what is damaged says nothing
        return np.int32(1)


def exif_orientation(image):
    """Returns what EXIF, not XMP, says of an open image of Pillow's: from 1, it is upright, to 8."""
    if image.format == "TIFF":
        number = image.tag_v2.get(ORIENTATION)
    else:
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        number = exif.get(ORIENTATION)
    return number if number in range(1, 9) else 1


@functools.cache
def register():
    """Has Pillow know the formats of its plugins, and be silent: what fails is told of otherwise."""
    warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    if is_installed("HEIF"):
        import pillow_heif

        pillow_heif.register_heif_opener()


def _bytes(content):
    return np.asarray(content, object).item()  # eagerly an array, in a graph bytes


def opened(content):
    """Returns the image of Pillow's of a file's bytes, of which no more than the header is read."""
    register()
    name = format_of(content)
    if not name:
        raise ValueError(f"begins as no picture does; expected one of {', '.join(OTHERS)}")
    return Image.open(io.BytesIO(content), formats=[name])


def npy(content):
    """Returns the array of a .npy file's bytes."""
    file = io.BytesIO(content)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    shape, _, dtype = read[np.lib.format.read_magic(file)[0]](file)
    if math.prod(shape) * dtype.itemsize > len(content):  # NumPy would take the memory first
        raise ValueError(f"an array of {shape} in {len(content)} bytes: cut short, or damaged")
    return np.load(io.BytesIO(content), allow_pickle=False)


def _rgb_of_array(values):
    """Returns RGB of an array that is gray, `[h, w]`, or has three channels, last."""
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=-1)
    if values.ndim != 3 or values.shape[-1] != 3 or 0 in values.shape:
        sides = " x ".join(map(str, values.shape))
        raise ValueError(f"an array of {sides}; expected H x W x 3 or H x W, or --channels")
    return values if values.dtype == np.uint8 else to_levels(values)


def _rgb(image):
    inverted = image.format == "TIFF" and image.tag_v2.get(262) == WHITE_IS_ZERO
    turned = image.getexif().get(ORIENTATION) if image.format == "TIFF" else None
    image.load()
    if turned in UNTURNED:
        image = image.transpose(UNTURNED[turned])
    if image.mode not in DEEP:
        return np.array(image.convert("RGB"))
    levels = to_levels(np.asarray(image))
    return np.repeat((255 - levels if inverted else levels)[..., None], 3, axis=-1)
