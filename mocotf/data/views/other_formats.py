"""Pictures that TensorFlow does not read, by Python: Pillow, its plugins, and pydicom.

RGB is as Pillow converts it, of the first picture where a file has several. What is deeper than 8 bits
becomes `to_levels`; Pillow itself gives of such colour the 8 high bits. Pillow turns a TIFF as its EXIF
says, and libheif an HEIC as its container does: the first is undone here, as `orientation` is to do it;
of the second nothing else is known.
"""

import contextlib
import functools
import io
import logging
import math
import threading
import warnings

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from mocotf.data.views.formats import CHEAPEST
from mocotf.data.views.formats import COST_OF_DEEP
from mocotf.data.views.formats import COSTS
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import OTHERS
from mocotf.data.views.formats import SHARE
from mocotf.data.views.formats import budget
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
TILE = 322, 323  # of a TIFF's tags, width and height of the parts that are decoded as a whole
STRIP = 1 << 20  # pixels of a picture that are converted at a time
_large = threading.Lock()  # on images that cost more than a `SHARE` of what they may


def pixels_of(content, max_pixels=MAX_PIXELS):
    """Returns uint8 RGB `[h, w, 3]` of an image file's bytes; any exception means that it is none, or
    costs more than `max_pixels` allows, see `limits`."""
    register()
    name = format_of(content)
    if name == "DICOM":
        from mocotf.data.views import dicom  # pydicom may not be installed

        file = dicom.opened(content)
        with admitted(content, (file.Columns, file.Rows), COSTS[name], max_pixels):
            return dicom.pixels_of(file)
    if name == "NPY":
        shape, dtype = npy_type(content)
        each = COSTS["PPM"] if dtype.itemsize == 1 else COST_OF_DEEP
        with admitted(content, shape, each, max_pixels):
            return _rgb_of_array(npy(content))
    with opened(content) as image:
        each = _cost_of_pixel(name, content, image)
        with admitted(content, _decoded_sides(image), each, max_pixels):
            return _rgb(image)


@contextlib.contextmanager
def admitted(content, sides, each, max_pixels):
    """Waits, where an image costs much, until no other such is being decoded.

    Args:
        content: the file's bytes, of which there are two copies.
        sides: of the image or array, by its header.
        each: bytes that a pixel or value costs.
        max_pixels: as `DataSettings` has it.

    Raises:
        ValueError: it costs more than one may.
    """
    count, most = math.prod(sides), budget(max_pixels)
    cost = count * each + len(content)
    if cost > most:
        kind = "pixels" if len(sides) == 2 else "values"
        raise ValueError(
            f"{' x '.join(map(str, sides))} {kind}, which take {cost / 1e6:,.0f} MB; expected at most "
            f"{most / 1e6:,.0f} MB, by --max_pixels={max_pixels}; try a larger one"
        )
    with _large if cost > most // SHARE else contextlib.nullcontext():
        yield


def _cost_of_pixel(name, content, image):
    """Returns the bytes that a pixel of an open image costs, whoever decodes it."""
    if name == "JPEG":
        return 3 + 2 * len(image.getbands()) if "progressive" in image.info else CHEAPEST
    if name == "PNG":
        return COSTS["PNG16" if content[24] == 16 else "PNG"]
    if name == "WEBP":
        return COSTS["WEBP lossy" if content[12:16] == b"VP8 " else "WEBP"]
    return COST_OF_DEEP if image.mode in DEEP else COSTS[name]


def _decoded_sides(image):
    """Returns the sides of what Pillow holds to decode an open image: a TIFF's tile may be larger."""
    tile = [image.tag_v2.get(tag, 0) for tag in TILE] if image.format == "TIFF" else [0, 0]
    return max(image.width, tile[0]), max(image.height, tile[1])


def pixels_in_graph(content, max_pixels):
    """Returns `pixels_of`, or no pixels for no image: TensorFlow prints exceptions."""
    try:
        return pixels_of(_bytes(content), int(max_pixels))
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


def npy_type(content):
    """Returns (shape, dtype) of the array of a .npy file's bytes, by its header."""
    file = io.BytesIO(content)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    shape, _, dtype = read[np.lib.format.read_magic(file)[0]](file)
    return shape, dtype


def npy(content):
    """Returns the array of a .npy file's bytes."""
    shape, dtype = npy_type(content)
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
        return _converted(image)
    levels = to_levels(np.asarray(image))
    return np.repeat((255 - levels if inverted else levels)[..., None], 3, axis=-1)


def _converted(image):
    """Returns `[h, w, 3]` of an image of Pillow's that has levels, a strip at a time: at once, it would
    be held four times."""
    pixels = np.empty([image.height, image.width, 3], np.uint8)
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = (0, top, image.width, min(top + rows, image.height))
        pixels[top : top + rows] = image.crop(strip).convert("RGB")
    return pixels
