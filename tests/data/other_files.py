"""Files of the formats that TensorFlow does not read, as Pillow writes them."""

import importlib.util
import io

import numpy as np
from PIL import Image

from mocotf.data.views import other_formats
from tests.data.support import photograph

PHOTO = Image.fromarray(photograph("coffee.png", 30, 40))
VEILED = PHOTO.copy()
VEILED.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
HEIC = importlib.util.find_spec("pillow_heif") is not None
RAMP = np.linspace(0, 65535, 1200).reshape(30, 40)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def in_modes(kind, *modes, **options):
    """Returns name → file of the photograph in some of Pillow's modes."""
    images = {mode: VEILED.convert(mode) if "A" in mode else PHOTO.convert(mode) for mode in modes}
    names = "".join(f", {value}" for value in options.values())
    return {f"{kind}, {mode}{names}": encoded(images[mode], kind, **options) for mode in modes}


other_formats.register()
FRAMES = {"save_all": True, "append_images": [PHOTO.rotate(90)]}
FILES = {
    **in_modes("TIFF", "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB"),
    **in_modes("TIFF", "L", "RGB", "YCbCr", compression="tiff_lzw"),
    **in_modes("TIFF", "RGB", compression="jpeg"),
    **in_modes("TIFF", "RGB", compression="tiff_adobe_deflate"),
    **in_modes("TIFF", "1", compression="group4"),
    "TIFF, BigTIFF": encoded(PHOTO, "TIFF", big_tiff=True),
    "TIFF, pages": encoded(PHOTO, "TIFF", **FRAMES),
    **in_modes("JPEG2000", "L", "LA", "RGB", "RGBA"),
    **in_modes("JPEG2000", "RGB", no_jp2=True),
    **in_modes("PPM", "1", "L", "RGB"),
    "PPM, plain": b"P3 # a remark\n1 2 255\n10 20 30 40 50 60\n",
    **in_modes("AVIF", "L", "LA", "RGB", "RGBA"),
    "AVIF, animated": encoded(PHOTO, "AVIF", **FRAMES),
    "WEBP, animated": encoded(PHOTO, "WEBP", **FRAMES),
    "WEBP, animated, RGBA": encoded(VEILED, "WEBP", **FRAMES),
    "PNG, animated": encoded(PHOTO, "PNG", **FRAMES),
    **in_modes("BMP", "1"),
    **(in_modes("HEIF", "L", "LA", "RGB", "RGBA") if HEIC else {}),
}
DEEP = {
    "TIFF, 16 bits": encoded(Image.fromarray(RAMP.astype(np.uint16)), "TIFF"),
    "TIFF, 16 bits, big-endian": encoded(
        Image.frombytes("I;16B", PHOTO.size, RAMP.astype(">u2").tobytes()), "TIFF"
    ),
    "TIFF, 16 bits, LZW": encoded(
        Image.fromarray(RAMP.astype(np.uint16)), "TIFF", compression="tiff_lzw"
    ),
    "TIFF, 32 bits": encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF"),
    "TIFF, floats": encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"),
    "JPEG2000, 16 bits": encoded(Image.fromarray(RAMP.astype(np.uint16)), "JPEG2000"),
    "PPM, 16 bits": encoded(Image.fromarray(RAMP.astype(np.int32)), "PPM"),
}
