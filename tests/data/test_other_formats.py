"""Pictures that TensorFlow does not read: against Pillow, damaged, in folders, where no Python is."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.views import formats
from mocotf.data.views.decode import decode
from mocotf.data.views.levels import to_levels
from tests.data.other_files import DEEP
from tests.data.other_files import FILES
from tests.data.other_files import PHOTO
from tests.data.other_files import RAMP

BY_TENSORFLOW = ("PNG, animated",)


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
