"""EXIF's orientation: read from files, and views of pictures that are turned by it."""

import dataclasses
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL import ImageOps

from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import centre_views
from mocotf.data.pretraining import random_views
from mocotf.data.settings import DataSettings
from mocotf.data.sources.base import Order
from mocotf.data.sources.image_files import files_under
from mocotf.data.sources.open import open_source
from mocotf.data.supervised import Labelled
from mocotf.data.views import augmentations
from mocotf.data.views import crop
from mocotf.data.views.decode import decode
from mocotf.data.views.host import OPS
from mocotf.data.views.host import decode_windows
from mocotf.data.views.orientation import PREFIX
from mocotf.data.views.orientation import TAG
from mocotf.data.views.orientation import decode_image
from mocotf.data.views.orientation import orientation
from mocotf.errors import UserError
from mocotf.evaluation.unlabelled import Unlabelled
from tests.data.support import assert_close_levels
from tests.data.support import many_draws
from tests.data.support import photograph

ALL = range(1, 9)
PHOTO = Image.fromarray(photograph("coffee.png", 90, 140))
PLAIN = augmentations.v1(size=24, jitter=(0, 0, 0, 0), gray_prob=0, mean=(0, 0, 0), std=(1, 1, 1))


def encoded(kind, number, exif=None, **more):
    """Returns the bytes of the photograph, which EXIF says is to be turned."""
    file = io.BytesIO()
    if exif is None:
        exif = Image.Exif()
        exif[0x010F], exif[TAG], exif[0x0132] = "Maker", number, "2026:01:01 00:00:00"
    elif kind == "JPEG":
        exif = PREFIX + exif.removeprefix(PREFIX)
    PHOTO.save(file, kind, exif=exif, **more)
    return file.getvalue()


def as_pillow(content):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))


def tiff(entries, order="<", offset=8):
    """Returns a TIFF file whose directory has entries (tag, value), as EXIF has one."""
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, offset)
    parts = [struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in entries]
    return head + bytes(offset - 8) + struct.pack(f"{order}H", len(entries)) + b"".join(parts)


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_as_pillow_turns_it(kind, number):
    content = encoded(kind, number)
    assert orientation(content) == number
    assert_close_levels(decode_image(content, True), as_pillow(content), mean=0.01, most=1)
    np.testing.assert_array_equal(decode_image(content, False), decode(content))


@pytest.mark.parametrize(
    "exif",
    [
        tiff([(0x010F, 1), (TAG, 6)], ">"),
        tiff([(TAG, 6)], "<", offset=200),
        PREFIX + tiff([(TAG, 6)]),
        tiff([(TAG, 6), (TAG, 3)]),
    ],
    ids=["big endian", "directory elsewhere", "prefix", "twice"],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_other_ways_to_say_it(kind, exif):
    assert orientation(encoded(kind, 6, exif)) == 6


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II",
        b"nothing of the kind",
        tiff([]),
        tiff([(TAG, 0)]),
        tiff([(TAG, 9)]),
        tiff([(0x010F, 6)]),
        tiff([(TAG, 6)])[:14],
        b"XX" + tiff([(TAG, 6)])[2:],
        tiff([(TAG, 6)], offset=8)[:4] + b"\xff\xff\xff\xff" + tiff([(TAG, 6)])[8:],
        tiff([(0x010F, 6)])[:8] + b"\xff\xff" + bytes(range(256)) * 3,
    ],
    ids=[
        *("empty", "short", "no TIFF", "no entry", "0", "9", "another tag", "cut short", "no order"),
        *("points beyond", "more entries than bytes"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_is_damaged_says_nothing(kind, exif):
    content = encoded(kind, 6, exif)
    assert orientation(content) == 1
    np.testing.assert_array_equal(decode_image(content, True), decode(content))


def test_what_is_no_picture_or_has_no_exif_says_nothing():
    cut = encoded("JPEG", 6)
    cut = cut[: cut.index(PREFIX) + 6]
    for content in (b"", b"\xff\xd8\xff", b"RIFF", b"RIFF0000WEBPVP8 EXIF", b"no picture", cut):
        assert orientation(content) == 1
    for kind in ("GIF", "BMP"):
        assert orientation(encoded(kind, 6)) == 1


@pytest.mark.parametrize("number", ALL)
def test_windows_are_those_of_the_turned_picture(number):
    content = encoded("JPEG", number, quality=95)
    whole = as_pillow(content).astype(int)
    for draws in many_draws()[:10]:
        image, windows = decode_windows(content, draws, 0.2, upright=True)
        sampled = np.stack(crop.sample_window(draws, *whole.shape[:2], 0.2), axis=1)
        for (top, left, h, w), (y, x, height, width) in zip(windows.numpy(), sampled, strict=True):
            part = image.numpy()[top : top + h, left : left + w]
            # A JPEG's colours are interpolated anew at the edges of what is decoded.
            assert_close_levels(part, whole[y : y + height, x : x + width], mean=0.5)


# ---- The pipelines


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Returns the place of two folders: of pictures with EXIF, and of what Pillow makes of them."""
    place = tmp_path_factory.mktemp("pictures")
    for name in ("stored", "turned"):
        for label in "ab":
            (place / name / label).mkdir(parents=True)
    for i in range(24):
        name = f"{'ab'[i % 2]}/{i:02}.jpg"  # which is read by its content
        content = encoded(("JPEG", "PNG", "WEBP")[i // 8], i % 8 + 1)
        (place / "stored" / name).write_bytes(content)
        Image.fromarray(as_pillow(content)).save(place / "turned" / name, "PNG")
    return place


@pytest.fixture(scope="module")
def sources(folders):
    """Returns sources of the same upright pictures: turned here, and by Pillow."""
    settings = DataSettings(dataset="folder", data_dir=str(folders / "stored"), upright=True)
    settings.check()
    turned = dataclasses.replace(settings, data_dir=str(folders / "turned"), upright=False)
    return open_source(settings), open_source(turned)


def views(source, ops):
    """Returns both views of all images, drawn as always, in levels `[24, 2, S, S, 3]`."""
    batches = random_views(source, PLAIN, Order(0, 24, 1), bad_images=BadImages(), ops=ops)
    return 255 * np.stack(next(iter(batches)), axis=1)


@pytest.fixture(scope="module")
def expected(sources):
    return views(sources[1], "numba")


@pytest.mark.parametrize("ops", OPS)
def test_views_are_those_of_turned_pictures(sources, expected, ops):
    assert_close_levels(views(sources[0], ops), expected, mean=0.5, most=32)


def test_evaluation_sees_turned_pictures(sources):
    made, expected = (
        255 * next(centre_views(s, s.evaluation("bank"), PLAIN, BadImages()).as_numpy_iterator())[0]
        for s in sources
    )
    assert_close_levels(made, expected, mean=0.2, most=1.5)
    for wrap in (Labelled, Unlabelled):
        assert [wrap(source).upright for source in sources] == [True, False]


def test_embedding_sees_turned_pictures(folders):
    def seen(name, upright):
        files = files_under(str(folders / name), upright=upright)
        (batch,) = files.views(24, 24).as_numpy_iterator()
        return files.found(), batch[2]

    (told, made), (_, expected) = seen("stored", True), seen("turned", False)
    assert told.endswith("88 % rotated by EXIF, turned")
    assert_close_levels(made, expected, mean=0.2, most=1.5)
    told, made = seen("stored", False)
    assert told.endswith("88 % rotated by EXIF, used as they are stored")
    assert np.abs(made - expected).mean() > 5


def test_a_graph_without_it_has_nothing_of_it_and_with_it_no_python():
    def operators(upright, python=False):
        def windows(content):
            return decode_windows(content, many_draws()[0], 0.2, upright, python)

        graph = tf.function(windows, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
        graph = graph.get_concrete_function().graph.as_graph_def()
        nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
        return {node.op for node in nodes}

    assert "StringSplitV2" not in operators(False)
    assert "StringSplitV2" in operators(True)
    assert not [name for name in operators(True) if "PyFunc" in name]
    assert {name for name in operators(True, python=True) if "Py" in name} == {"PyFuncStateless"}


def test_pictures_that_have_no_exif_cannot_be_turned():
    with pytest.raises(UserError, match="--upright does nothing with --dataset=patches"):
        DataSettings(upright=True).check()
