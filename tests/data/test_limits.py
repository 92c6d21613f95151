"""What an image may cost: known from its header, by what the decoder will make, and once at a time."""

import io
import os
import struct
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.places.directory import SPECIAL
from mocotf.data.places.lists import ListFile
from mocotf.data.places.pictures import Pictures
from mocotf.data.pretraining import centre
from mocotf.data.views import other_formats
from mocotf.data.views.channels import decode_channels
from mocotf.data.views.decode import decode
from mocotf.data.views.formats import MAX_PIXELS
from mocotf.data.views.formats import SERVED_PIXELS
from mocotf.data.views.host import decode_windows
from mocotf.data.views.orientation import decode_image
from mocotf.errors import UserError
from mocotf.transfer.detection_views import lay
from tests.data.support import many_draws
from tests.data.test_decode import FILES
from tests.data.test_decode import GIF
from tests.data.test_decode import PHOTO
from tests.data.test_decode import TURNED
from tests.data.test_decode import WHOLE
from tests.data.test_decode import encoded
from tests.data.test_decode import png
from tests.data.test_decode import png16
from tools.fuzzing.worker import forget_peak
from tools.fuzzing.worker import peak

REFUSED = tf.errors.InvalidArgumentError
PIXELS = PHOTO.width * PHOTO.height
# Bytes a pixel, of files of `tests.data.test_decode`.
EACH = {
    "jpeg": 4,
    "jpeg, gray": 4,
    "jpeg, CMYK": 4,
    "jpeg, progressive": 9,
    "png": 4,
    "png, palette": 4,
    "png, 16-bit colour": 15,
    "gif": 6,
    "gif, animated": 6,
    "bmp": 12,
    "bmp, top down": 12,
    "webp": 4,
    "webp, transparent": 16,
    "webp, lossless": 16,
}


def least(each, pixels=PIXELS):
    """Returns the smallest max_pixels that admits an image whose pixels cost so much."""
    return -(-each * pixels // 4)


@pytest.mark.parametrize("kind", EACH)
def test_an_image_may_cost_four_bytes_for_each_pixel_that_is_allowed(kind):
    data, most = FILES[kind], least(EACH[kind])
    assert decode(data, max_pixels=tf.constant(most, tf.int64)).shape == (183, 275, 3)
    with pytest.raises(REFUSED):
        decode(data, max_pixels=tf.constant(most - 1, tf.int64))
    with pytest.raises(REFUSED):
        decode_windows(
            data, tf.constant(many_draws()[0]), 0.2, max_pixels=tf.constant(most - 1, tf.int64)
        )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_to_turn_an_image_takes_another_copy(kind):
    data, draws = encoded(PHOTO, kind, exif=TURNED), tf.constant(many_draws()[0])
    for upright, most in ((False, least(4)), (True, 2 * least(4))):
        decode_image(data, upright, max_pixels=most)
        decode_windows(data, draws, 0.2, upright, max_pixels=most)
        less = tf.constant(most - 1, tf.int64)
        with pytest.raises(REFUSED):
            decode_image(data, upright, max_pixels=less)
        with pytest.raises(REFUSED):
            decode_windows(data, draws, 0.2, upright, max_pixels=less)


def test_of_many_channels_each_value_costs():
    deep = png16(2, np.full([20, 30, 3], 70, np.uint16))
    assert decode_channels(deep, 3, max_pixels=20 * 30 * 3 * 2).shape == (20, 30, 3)
    with pytest.raises(REFUSED):
        decode_channels(deep, 3, max_pixels=20 * 30 * 3 * 2 - 1)
    file = io.BytesIO()
    np.save(file, np.ones([20, 30, 5], np.float32))
    cost = 20 * 30 * 5 * (4 + 4 + 8) + len(file.getvalue())
    assert decode_channels(tf.constant(file.getvalue()), 5, max_pixels=-(-cost // 4)).shape == (
        20,
        30,
        5,
    )
    with pytest.raises(REFUSED):
        decode_channels(tf.constant(file.getvalue()), 5, max_pixels=-(-cost // 4) - 1)


def jpeg_with(segment):
    return WHOLE["JPEG"][:2] + segment + WHOLE["JPEG"][2:]


def test_a_jpeg_whose_first_scan_is_not_found_costs_what_the_worst_does():
    far = jpeg_with(b"\xff\xe5\xff\xff" + bytes(65533))
    odd = jpeg_with(b"\xff\x01")  # a marker without a length, behind which it could hide another frame
    assert (
        decode(far, max_pixels=tf.constant(least(4), tf.int64)).shape
        == decode(odd, max_pixels=tf.constant(least(9), tf.int64)).shape
    )
    with pytest.raises(REFUSED):
        decode(odd, max_pixels=tf.constant(least(9) - 1, tf.int64))


def test_the_size_is_that_which_the_decoder_makes():
    large = png(8, 0, np.zeros([300, 200], np.uint8))
    # Where sides are looked for, those of another chunk.
    hidden = large[:8] + struct.pack(">I4sII", 8, b"teSt", 1, 1) + bytes(4) + large[8:]
    assert decode(large).shape == (300, 200, 3)
    with pytest.raises(REFUSED):
        decode(hidden)
    # The frame of a GIF, not its canvas, nor later frames.
    canvas = GIF[:6] + struct.pack("<HH", 1, 1) + GIF[10:]
    assert decode(canvas, max_pixels=tf.constant(least(6), tf.int64)).shape == (183, 275, 3)
    with pytest.raises(REFUSED):
        decode(canvas, max_pixels=tf.constant(least(6) - 1, tf.int64))
    block = b"\x2c" + struct.pack("<4HB", 0, 0, 65535, 65535, 0) + b"\x08\x01\x00\x00"
    np.testing.assert_array_equal(decode(GIF[:-1] + 50 * block + b";"), decode(GIF))
    # Of WebP the picture has to be as large as its canvas.
    webp = FILES["webp, transparent"]
    with pytest.raises(REFUSED):
        decode(webp[:24] + bytes(6) + webp[30:])
    for width, height in ((-275, 183), (275, -(2**31)), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(REFUSED):
            decode(WHOLE["BMP"][:18] + struct.pack("<ii", width, height) + WHOLE["BMP"][26:])
    # Two frames in a JPEG: the decoder takes none.
    frame = WHOLE["JPEG"].index(b"\xff\xc0")
    header = WHOLE["JPEG"][frame : frame + 19]
    with pytest.raises(REFUSED):
        decode(
            WHOLE["JPEG"][:frame] + header[:5] + bytes(3) + b"\1" + header[9:] + WHOLE["JPEG"][frame:]
        )


def test_a_tiffs_tile_counts_where_it_is_larger_than_the_image():
    tiled = Image.open(io.BytesIO(encoded(PHOTO, "TIFF")))
    tiled.tag_v2[322], tiled.tag_v2[323] = 30_000, 20_000
    assert other_formats._decoded_sides(tiled) == (30_000, 20_000)


def test_headers_of_bombs_are_enough():
    assert (MAX_PIXELS, SERVED_PIXELS) == (120_000_000, 40_000_000)
    bits = 16383 | 16383 << 14
    body = b"VP8L" + struct.pack("<IBI", 14, 0x2F, bits) + bytes(9)
    bombs = {
        "png": png(1, 0, np.zeros([20_000, 2_500], np.uint8)),
        "gif": GIF[:-1].replace(struct.pack("<HH", 275, 183), b"\xff\xff\xff\xff") + b";",
        "webp": b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body,
    }
    attempt = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    attempt(WHOLE["PNG"])
    forget_peak()
    memory, start = peak(), time.perf_counter()
    for bomb in bombs.values():
        assert len(bomb) < 1e6
        with pytest.raises(REFUSED):
            attempt(bomb)
    assert time.perf_counter() - start < 5
    assert peak() - memory < 100e6


class Together:
    """Counts how many calls are made at a time."""

    def __init__(self):
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)

    def __exit__(self, *_):
        with self._lock:
            self.now -= 1


@pytest.mark.parametrize(("share", "alone"), [(1, True), (4, False)])
def test_large_images_are_decoded_one_at_a_time_also_where_some_are_bad(share, alone, monkeypatch):
    together, real = Together(), tf.io.decode_png

    def decode_png(encoded, **options):
        def seen(data):
            with together:
                return data

        return real(tf.ensure_shape(tf.numpy_function(seen, [encoded], tf.string), []), **options)

    monkeypatch.setattr(tf.io, "decode_png", decode_png)
    good, bad = WHOLE["PNG"], WHOLE["PNG"][:2000]
    files = tf.data.Dataset.from_tensor_slices([good, bad, good, bad] * 3)
    sized = files.map(lambda data: tf.shape(decode(data, True, share * least(4))), num_parallel_calls=4)
    found = list(sized.ignore_errors().as_numpy_iterator())
    assert len(found) == 6 and (np.array(found) == [183, 275, 3]).all()
    assert together.most == 1 if alone else together.most > 1


def test_python_decodes_large_images_one_at_a_time(monkeypatch):
    together, content = Together(), encoded(PHOTO, "TIFF")

    def rgb(image):
        with together:
            return np.asarray(image)

    monkeypatch.setattr(other_formats, "_rgb", rgb)
    for most, alone in ((least(9) + len(content), True), (MAX_PIXELS, False)):
        together.most = 0
        threads = [
            threading.Thread(target=other_formats.pixels_of, args=(content, most)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert together.most == 1 if alone else together.most > 1


@pytest.mark.parametrize("long", [2000, 65_500])
@pytest.mark.parametrize("upright", [False, True], ids=["wide", "tall"])
def test_of_thin_images_little_is_made(long, upright):
    pixels = tf.zeros([long, 1, 3] if upright else [1, long, 3], tf.uint8)
    forget_peak()
    memory = peak()
    assert centre(pixels, 224).shape == (224, 224, 3)
    image, _ = lay(pixels, tf.constant(800), 1333)
    assert sorted(image.shape) == [1, 3, 1333]
    assert peak() - memory < 100e6


def test_training_reads_of_a_jpeg_its_window_only():
    cut = WHOLE["JPEG"][: len(WHOLE["JPEG"]) * 9 // 10]
    draws = np.zeros_like(many_draws()[0])  # the smallest crop, at the top left
    image, _ = decode_windows(cut, tf.constant(draws), 0.2)
    assert min(image.shape) > 0
    with pytest.raises(REFUSED):
        decode(cut)


def test_a_pipe_that_a_list_names_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "good.jpg").write_bytes(WHOLE["JPEG"])
    (tmp_path / "list.txt").write_text("pipe.jpg\ngood.jpg\n")
    pictures = Pictures([(ListFile(str(tmp_path / "list.txt")), "")])
    assert list(pictures.names()) == [b"good.jpg"]
    assert dict(pictures.left_out.refused) == {SPECIAL: 1}
    with pytest.raises(UserError, match="is a folder, pipe or the like; expected a list"):
        ListFile(str(tmp_path / "pipe.jpg"))
