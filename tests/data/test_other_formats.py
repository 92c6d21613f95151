"""Pictures that TensorFlow does not read: against Pillow, damaged, in folders, where no Python is."""

import importlib.util
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.views import augmentations
from mocotf.data.views import formats
from mocotf.data.views import other_formats
from mocotf.data.views.decode import decode
from mocotf.data.views.levels import to_levels
from tests.data.support import photograph

PHOTO = Image.fromarray(photograph("coffee.png", 30, 40))
VEILED = PHOTO.copy()
VEILED.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
HEIC = importlib.util.find_spec("pillow_heif") is not None
RAMP = np.linspace(0, 65535, 1200).reshape(30, 40)
PLAIN = augmentations.v1(size=24, jitter=(0, 0, 0, 0), gray_prob=0, mean=(0, 0, 0), std=(1, 1, 1))


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
    **in_modes("TIFF", "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"),
    **in_modes("TIFF", "L", "RGB", compression="tiff_lzw"),
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
BY_TENSORFLOW = ("PNG, animated",)
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
ENDINGS = {"TIFF": "tif", "JPEG2000": "jp2", "PPM": "pnm", "HEIF": "heic"}


def name_of(kind):
    return kind.partition(",")[0]


def as_pillow(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("kind", FILES)
def test_files_decode_as_in_pillow(kind):
    assert formats.format_of(FILES[kind][: formats.HEAD]) == name_of(kind)
    np.testing.assert_array_equal(decode(FILES[kind]), as_pillow(FILES[kind]))
    if kind not in BY_TENSORFLOW:
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(FILES[kind], python=False)
    if kind == "TIFF, pages":
        np.testing.assert_array_equal(decode(FILES[kind]), PHOTO)


@pytest.mark.parametrize("kind", DEEP)
def test_of_deep_pictures_the_high_bits_are_seen(kind):
    expected = np.repeat(RAMP.astype(np.uint16)[..., None] >> 8, 3, axis=-1)
    np.testing.assert_array_equal(decode(DEEP[kind]), expected)


@pytest.mark.parametrize("order", ["little", "big"])
def test_colours_of_16_bits_keep_the_high_ones(order):
    colour = (RAMP[..., None] * [1, 0.5, 0.2]).astype(np.uint16)
    depth = "<u2" if order == "little" else ">u2"
    numbers = {256: [40], 257: [30], 258: [16] * 3, 259: [1], 262: [2], 273: [8], 277: [3], 278: [30]}
    content = tiff(numbers, colour.astype(depth).tobytes(), order)
    np.testing.assert_array_equal(decode(content), colour >> 8)


def test_where_zero_is_white_deep_pictures_are_inverted():
    numbers = {256: [40], 257: [30], 258: [16], 259: [1], 262: [0], 273: [8], 277: [1], 278: [30]}
    levels = RAMP.astype("<u2")
    content = tiff(numbers, levels.tobytes(), "little")
    np.testing.assert_array_equal(decode(content).numpy()[..., 0], 255 - (levels >> 8))


def tiff(numbers, pixels, order):
    """Returns a TIFF of tags with short values, and of pixels, which begin at byte 8."""
    more, entries, after = b"", b"", 8 + len(pixels) + 2 + 12 * (len(numbers) + 1) + 4
    for tag, values in sorted((numbers | {279: [len(pixels)]}).items()):
        raw = b"".join(value.to_bytes(2, order) for value in values)
        entries += tag.to_bytes(2, order) + (3).to_bytes(2, order) + len(values).to_bytes(4, order)
        entries += raw.ljust(4, b"\0") if len(raw) <= 4 else (after + len(more)).to_bytes(4, order)
        more += raw if len(raw) > 4 else b""
    head = (b"II" if order == "little" else b"MM") + (42).to_bytes(2, order)
    directory = (len(numbers) + 1).to_bytes(2, order) + entries + bytes(4)
    return head + (8 + len(pixels)).to_bytes(4, order) + pixels + directory + more


def test_a_tiff_of_a_kind_that_pillow_does_not_read_is_refused():
    sides = {256: [40], 257: [30], 278: [30]}
    numbers = sides | {258: [64], 259: [1], 262: [1], 273: [8], 277: [1], 339: [3]}
    content = tiff(numbers, RAMP.tobytes(), "little")
    assert formats.format_of(content) == "TIFF"
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(content)


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.uint16([0, 100, 255]), [0, 100, 255]),
        (np.uint16([0, 256, 4095]), [0, 16, 255]),
        (np.int32([0, 4096, 65535]), [0, 16, 255]),
        (np.int32([0, 500, 100_000]), [0, 1, 255]),
        (np.int16([-100, 0, 100]), [0, 128, 255]),
        (np.float32([0, 0.5, 1]), [0, 128, 255]),
        (np.float32([0, 100.9, 255]), [0, 100, 255]),
        (np.float32([-1, 0, np.nan, 1, np.inf]), [0, 128, 0, 255, 255]),
        (np.float64([1e300, 1e300]), [0, 0]),
        (np.float32([np.nan]), [0]),
    ],
)
def test_levels(values, levels):
    assert to_levels(values).tolist() == levels
