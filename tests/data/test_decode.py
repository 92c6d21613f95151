"""Decoding against Pillow, and what becomes of files that do not decode."""

import io
import itertools
import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.views import augmentations
from mocotf.data.views import crop
from mocotf.data.views.decode import BGR_MASKS
from mocotf.data.views.decode import decode
from mocotf.data.views.decode import or_else
from mocotf.data.views.formats import MAGIC
from mocotf.data.views.host import OPS
from mocotf.data.views.host import decode_windows
from mocotf.data.views.host import view_maker
from tests.data.support import assert_close_levels
from tests.data.support import many_draws
from tests.data.support import photograph
from tests.oracles import pillow_ops

PHOTO = Image.fromarray(photograph("coffee.png", 183, 275))
DOT = PHOTO.resize((1, 1))
VEILED = PHOTO.copy()  # from transparent at the top to opaque
VEILED.putalpha(Image.linear_gradient("L").resize(PHOTO.size))


def encoded(image, fmt, **options):
    file = io.BytesIO()
    image.save(file, fmt, **options)
    return file.getvalue()


def random_crops(data, draws, size, min_area, ops="tensorflow"):
    """Returns both crops of an image, uint8 `[2, S, S, 3]`."""
    image, windows = decode_windows(data, draws, min_area)
    make = view_maker(augmentations.v2(size=size), ops, crops_only=True)
    return tf.stack(make(image, windows, draws))


def as_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def png(depth, colour, rows):
    """Writes what Pillow does not; `rows` holds bytes, big-endian, `colour` is the format's number."""
    pixels = rows.shape[1] * 8 // depth // {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    header = struct.pack(">2I5B", pixels, len(rows), depth, colour, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows), 1)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return MAGIC["PNG"] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def png16(colour, values):
    return png(16, colour, values.reshape(len(values), -1).astype(">u2").view(np.uint8))


def bmp(depth, compression, rows, after_header=b"", header=40):
    """Writes a BMP of PHOTO's size with any header; `rows` are its bytes, top down."""
    fields = (header, PHOTO.width, -PHOTO.height, 1, depth, compression, len(rows), 0, 0, 0, 0)
    start = 14 + header + len(after_header) * (header == 40)
    info = struct.pack("<IiiHHIIiiII", *fields) + after_header
    begin = struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
    return begin + info.ljust(start - 14, b"\0") + rows


def with_marker(jpeg, transform):
    """Changes what Adobe's marker says: 0 is CMYK, 2 is YCCK, as in Photoshop; None takes it out."""
    at = jpeg.index(b"Adobe") - 4
    if transform is None:
        return jpeg[:at] + jpeg[at + 16 :]
    return jpeg[: at + 15] + bytes([transform]) + jpeg[at + 16 :]


DEEP = np.asarray(PHOTO).astype(np.uint16) * 257
BGRX = np.concatenate([np.asarray(PHOTO)[..., ::-1], np.asarray(PHOTO)[..., :1]], -1).tobytes()
RGB_MASKS = struct.pack("<3I", 0xFF, 0xFF00, 0xFF0000)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # orientation
JPEG = encoded(PHOTO, "JPEG", quality=95)
CMYK = encoded(PHOTO.convert("CMYK"), "JPEG", quality=95)
GIF = encoded(PHOTO, "GIF")
BMP = encoded(PHOTO, "BMP")
FILES = {
    "jpeg": JPEG,
    "jpeg, 4:2:0": encoded(PHOTO, "JPEG", quality=75, subsampling=2),
    "jpeg, progressive": encoded(PHOTO, "JPEG", progressive=True),
    "jpeg, gray": encoded(PHOTO.convert("L"), "JPEG"),
    "jpeg, rotated by EXIF only": encoded(PHOTO, "JPEG", exif=TURNED),
    "jpeg, CMYK": CMYK,
    "jpeg, YCCK": with_marker(CMYK, 2),
    "jpeg, two pictures (MPO)": encoded(PHOTO, "MPO", save_all=True, append_images=[DOT]),
    "png": encoded(PHOTO, "PNG"),
    "png, 1 bit": encoded(PHOTO.convert("1"), "PNG"),
    "png, gray": encoded(PHOTO.convert("L"), "PNG"),
    "png, 16-bit colour": png16(2, DEEP),
    "png, 16-bit gray with alpha": png16(4, DEEP[..., :2]),
    "png, 16-bit with alpha": png16(6, DEEP[..., [0, 1, 2, 0]]),
    "png, transparent": encoded(VEILED, "PNG"),
    "png, gray and transparent": encoded(VEILED.convert("LA"), "PNG"),
    "png, palette": encoded(PHOTO.convert("P"), "PNG"),
    "png, palette of 4 bits": encoded(PHOTO.quantize(16), "PNG", bits=4),
    "png, transparent palette": encoded(PHOTO.convert("P"), "PNG", transparency=bytes(range(256))),
    "bmp": BMP,
    "bmp, top down": bmp(32, 0, BGRX),
    "bmp, 32 bits, masks": bmp(32, 3, BGRX, BGR_MASKS),
    "bmp, 32 bits, longer header": bmp(32, 3, BGRX, BGR_MASKS, header=108),
    "bmp, gray": encoded(PHOTO.convert("L"), "BMP"),
    "bmp, palette": encoded(PHOTO.quantize(200), "BMP"),
    "bmp, two bytes longer": BMP + b"\0\0",
    "gif": GIF,
    "gif, animated": encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO.rotate(90)]),
    "gif, interlaced": encoded(PHOTO, "GIF", interlace=1),
    "webp": encoded(PHOTO, "WEBP"),
    "webp, lossless": encoded(PHOTO, "WEBP", lossless=True),
    "webp, transparent": encoded(VEILED, "WEBP"),
    "webp, lossless and transparent": encoded(VEILED, "WEBP", lossless=True),
} | {f"{name}, one pixel": encoded(DOT, name) for name in MAGIC}
WHOLE = {name: encoded(PHOTO, name) for name in MAGIC}
BAD = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"no picture at all, whatever its name says",
    "jpeg, header only": JPEG[:200],
    "noise behind a PNG's signature": WHOLE["PNG"][:40] + bytes(range(256)),
    "sound in webp's container": b"RIFF\0\0\1\0WAVEfmt " + bytes(99),
    "bmp, 16 bits, too short": bmp(16, 0, BGRX[: len(BGRX) // 2]),
    "bmp, red first": bmp(32, 3, BGRX, RGB_MASKS),
    "bmp, red first, longer header": bmp(32, 3, BGRX, RGB_MASKS, header=108),
    "bmp, run-length": bmp(8, 1, bytes(276 * 183), bytes(1024)),
    "bmp, palette too short": bmp(8, 0, b"\x01" * (276 * 183), bytes(4)),
} | {
    f"{name} cut to {cut}": data[: int(len(data) * share)]
    for name, data in (WHOLE | {"CMYK": CMYK}).items()
    for cut, share in (("a tenth", 0.1), ("half", 0.5), ("nine tenths", 0.9))
}


ROWS = np.asarray(PHOTO.convert("L"))
RUNS = b"".join(b"".join(b"\1" + bytes([v]) for v in row) + b"\0\0" for row in ROWS[::-1]) + b"\0\1"
GRAYS = b"".join(bytes([v, v, v, 0]) for v in range(256))
BY_PYTHON = {
    "bmp, 1 bit": encoded(PHOTO.convert("1"), "BMP"),
    "bmp, 4 bits": bmp(4, 0, np.pad(ROWS, ((0, 0), (0, 5)))[:, ::2].tobytes(), GRAYS[::16]),
    "bmp, 16 bits": bmp(16, 0, np.pad(DEEP[..., 0] >> 1, ((0, 0), (0, 1))).tobytes()),
    "bmp, run-length": bmp(8, 1, RUNS, GRAYS),
    "bmp of OS/2": b"BM" + struct.pack("<IHHIIHHHH", 30, 0, 0, 26, 12, 1, 1, 1, 24) + bytes(40),
}


@pytest.mark.parametrize("kind", BY_PYTHON)
def test_what_tensorflow_takes_for_something_else_python_reads(kind):
    np.testing.assert_array_equal(decode(BY_PYTHON[kind]), as_pillow(BY_PYTHON[kind]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(BY_PYTHON[kind], python=False)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("kind", FILES)
def test_files_decode_as_in_pillow(kind):
    pixels = decode(FILES[kind])
    assert pixels.dtype == tf.uint8
    assert_close_levels(pixels, as_pillow(FILES[kind]), 0.01, most=1, quantity="decoding, Pillow's")


@pytest.mark.parametrize(("most", "surplus"), [(255, 0), (256, 4), (4095, 4), (4096, 8), (65535, 8)])
def test_16_bits_are_as_many_as_a_picture_makes_use_of(most, surplus):
    levels = np.linspace(0, most, 256 * 4).reshape(32, 32).astype(np.uint16)
    np.testing.assert_array_equal(decode(png16(0, levels)).numpy()[..., 0], levels >> surplus)
    colour = np.stack([levels // 2, levels, levels // 3], axis=-1)
    np.testing.assert_array_equal(decode(png16(2, colour)).numpy(), colour >> surplus)


def test_16_bit_gray_keeps_its_high_bits():
    ramp = (np.arange(180 * 360) + 300).reshape(180, 360)
    pixels = decode(png16(0, ramp)).numpy()
    assert_close_levels(pixels, np.repeat(ramp[..., None] / 257, 3, -1), mean=0.6, most=1)
    assert as_pillow(png16(0, ramp)).min() == 255


def test_ink_is_inverted_only_where_adobe_says_so():
    inverted = 255 - np.asarray(Image.open(io.BytesIO(CMYK)))  # undo what Pillow always does
    expected = np.asarray(Image.fromarray(inverted, "CMYK").convert("RGB"))
    assert_close_levels(decode(with_marker(CMYK, None)), expected, mean=0.01, most=1)


def test_transparent_pixels_of_a_gif_are_black():
    flat = PHOTO.convert("P")
    common = int(np.bincount(np.asarray(flat).ravel()).argmax())
    data = encoded(flat, "GIF", transparency=common)
    expected = np.where(np.asarray(flat)[..., None] == common, 0, as_pillow(data))
    assert_close_levels(decode(data), expected, mean=0)


def test_a_name_says_nothing_about_its_file(tmp_path):
    for name, data in (("png.jpg", WHOLE["PNG"]), ("jpeg.png", JPEG), ("webp.jpg", WHOLE["WEBP"])):
        path = tmp_path / name
        path.write_bytes(data)
        assert_close_levels(decode(tf.io.read_file(str(path))), as_pillow(data), mean=0.01, most=1)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg, 4:2:0", "png", "gif"])
def test_crops_are_those_of_the_whole_image(kind):
    size, whole = 48, as_pillow(FILES[kind])
    for draws, ops in itertools.product(many_draws()[:4], OPS):
        windows = np.stack(crop.sample_window(draws, *whole.shape[:2], 0.2), axis=1)
        for view, box in zip(random_crops(FILES[kind], draws, size, 0.2, ops), windows, strict=True):
            # Where 4:2:0 is cut, TensorFlow lacks the neighbour that Pillow smooths colours with.
            expected = pillow_ops.pillow_crop_resize(whole, box, size, size)
            assert_close_levels(view, expected, mean=0.5, most=12)


def test_smallest_area_reaches_the_crops():
    draws = tf.zeros([2, augmentations.DRAWS])  # smallest area, widest, top left
    for min_area in (0.08, 0.2, 1.0):
        whole = as_pillow(FILES["png"])
        box = np.stack(crop.sample_window(draws, *whole.shape[:2], min_area), axis=1)[0]
        view = random_crops(FILES["png"], draws, 32, min_area)[0]
        assert_close_levels(view, pillow_ops.pillow_crop_resize(whole, box, 32, 32), mean=0.5, most=2)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def attempt_crops(data):
    draws, sevens = tf.constant(many_draws()[0]), tf.fill([2, 8, 8, 3], tf.constant(7, tf.uint8))
    return or_else(lambda: random_crops(data, draws, 8, 0.2), sevens)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def attempt_file(path):
    return or_else(lambda: decode(tf.io.read_file(path)), tf.fill([1, 1, 3], tf.constant(9, tf.uint8)))


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_fall_back_in_graphs(kind):
    ok, views = attempt_crops(JPEG)
    assert ok and len(np.unique(views)) > 9
    ok, views = attempt_crops(BAD[kind])
    assert not ok and tf.reduce_all(views == 7)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(BAD[kind])


def test_files_that_cannot_be_read_fall_back(tmp_path):
    (tmp_path / "good.jpg").write_bytes(JPEG)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "good.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("good.jpg", "link.jpg"):
        assert attempt_file(str(tmp_path / name))[0]
    for name in ("dangling.jpg", "folder.jpg", "nothing.jpg"):
        ok, pixels = attempt_file(str(tmp_path / name))
        assert not ok and pixels.shape == (1, 1, 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_files_without_permission_fall_back(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(JPEG)
    path.chmod(0)
    assert not attempt_file(str(path))[0]


def test_or_else_does_not_hide_a_good_result():
    ok, value = or_else(lambda: tf.constant(3) + 4, tf.constant(0))
    assert bool(ok) and int(value) == 7
