"""Decoding against Pillow, and what becomes of files that do not decode."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data import crop
from mocotf.data.decode import BadImages
from mocotf.data.decode import decode
from mocotf.data.decode import or_else
from mocotf.data.decode import random_crops
from tests.data.support import assert_close_levels
from tests.data.support import many_draws
from tests.data.support import photograph
from tests.oracles import pillow_ops

PHOTO = Image.fromarray(photograph("coffee.png", 183, 275))


def encoded(image, fmt, **options):
    file = io.BytesIO()
    image.save(file, fmt, **options)
    return file.getvalue()


def as_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


JPEG = encoded(PHOTO, "JPEG", quality=95)
FILES = {
    "jpeg": JPEG,
    "jpeg, 4:2:0": encoded(PHOTO, "JPEG", quality=75, subsampling=2),
    "jpeg, progressive": encoded(PHOTO, "JPEG", progressive=True),
    "jpeg, gray": encoded(PHOTO.convert("L"), "JPEG"),
    "png": encoded(PHOTO, "PNG"),
    "png, transparent": encoded(PHOTO.convert("RGBA"), "PNG"),
    "png, palette": encoded(PHOTO.convert("P"), "PNG"),
    "bmp": encoded(PHOTO, "BMP"),
    "gif": encoded(PHOTO, "GIF"),
    "gif, animated": encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO.rotate(90)]),
}
BAD = {
    "truncated": JPEG[: len(JPEG) // 2],
    "empty": b"",
    "text": b"no picture at all, whatever its name says",
    "header only": JPEG[:200],
    "noise behind a PNG's signature": FILES["png"][:40] + bytes(range(256)),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_decode_as_in_pillow(kind):
    pixels = decode(FILES[kind])
    assert pixels.dtype == tf.uint8
    assert_close_levels(pixels, as_pillow(FILES[kind]), 0.01, most=1, quantity="decoding, Pillow's")


def test_the_fast_cosine_transform_would_be_told():
    with pytest.raises(AssertionError, match="levels on average"):
        assert_close_levels(tf.io.decode_jpeg(JPEG), as_pillow(JPEG), mean=0.01)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg, 4:2:0", "png", "gif"])
def test_crops_are_those_of_the_whole_image(kind):
    draws, size = many_draws()[:4].reshape(8, -1), 48
    whole = as_pillow(FILES[kind])
    windows = np.stack(crop.sample_window(draws, *whole.shape[:2], 0.2), axis=1)
    views = random_crops(FILES[kind], tf.constant(draws), size, 0.2).numpy() * 255
    assert views.shape == (8, size, size, 3)
    for view, box in zip(views, windows, strict=True):
        # Where 4:2:0 is cut, TensorFlow lacks the neighbour that Pillow smooths colours with.
        assert_close_levels(
            view, pillow_ops.pillow_crop_resize(whole, box, size, size), mean=0.5, most=12
        )


def test_smallest_area_reaches_the_crops():
    draws = tf.zeros([1, many_draws().shape[-1]])  # smallest area, widest, top left
    for min_area in (0.08, 0.2, 1.0):
        whole = as_pillow(FILES["png"])
        box = np.stack(crop.sample_window(draws, *whole.shape[:2], min_area), axis=1)[0]
        view = random_crops(FILES["png"], draws, 32, min_area)[0] * 255
        assert_close_levels(view, pillow_ops.pillow_crop_resize(whole, box, 32, 32), mean=0.5, most=2)


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_fall_back_in_graphs(kind):
    @tf.function
    def attempt(data):
        draws = tf.constant(many_draws()[0])
        return or_else(lambda: random_crops(data, draws, 8, 0.2), tf.fill([2, 8, 8, 3], -1.0))

    ok, views = attempt(JPEG)
    assert ok and tf.reduce_min(views) >= 0
    ok, views = attempt(BAD[kind])
    assert not ok and tf.reduce_all(views == -1)


def test_or_else_does_not_hide_a_good_result():
    ok, value = or_else(lambda: tf.constant(3) + 4, tf.constant(0))
    assert bool(ok) and int(value) == 7


def test_bad_images_are_counted_and_named_once(tmp_path, caplog):
    path = tmp_path / "bad_images.txt"
    bad = BadImages(str(path))
    assert not path.exists() and bad.names == []
    counts = [int(bad.report(name)) for name in (b"a.jpg", b"b.jpg", b"a.jpg", b"\xff.jpg")]
    assert counts == [1, 2, 2, 3]
    assert bad.names == ["a.jpg", "b.jpg", "\\xff.jpg"]
    assert path.read_text().splitlines() == bad.names
    assert [record.getMessage() for record in caplog.records] == [
        f"skipped {name}: it does not decode ({i} so far)" for i, name in enumerate(bad.names, 1)
    ]


def test_a_resumed_run_names_no_image_again(tmp_path):
    path = str(tmp_path / "bad_images.txt")
    BadImages(path).report(b"a.jpg")
    resumed = BadImages(path)
    assert resumed.names == ["a.jpg"]
    assert int(resumed.report(b"a.jpg")) == 1 and int(resumed.report(b"b.jpg")) == 2
    with open(path) as file:
        assert file.read() == "a.jpg\nb.jpg\n"


def test_bad_images_need_no_file():
    bad = BadImages()
    assert int(bad.report(b"a.jpg")) == 1 and bad.names == ["a.jpg"]
