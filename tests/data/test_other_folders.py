"""Folders of pictures that TensorFlow does not read: listed, looked into, trained on, embedded."""

import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import centre_views
from mocotf.data.pretraining import random_views
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.image_files import files_under
from mocotf.data.views import augmentations
from mocotf.data.views import formats
from mocotf.data.views import other_formats
from mocotf.data.views.decode import decode
from mocotf.data.views.formats import COSTS
from mocotf.data.views.formats import format_of
from mocotf.data.views.host import OPS
from mocotf.data.views.orientation import TAG
from mocotf.data.views.orientation import decode_image
from mocotf.serving.requests import signatures_of
from mocotf.serving.requests import views_of
from tests.data.other_files import DEEP
from tests.data.other_files import FILES
from tests.data.other_files import HEIC
from tests.data.other_files import PHOTO
from tests.data.other_files import encoded

PLAIN = augmentations.v1(size=24, jitter=(0, 0, 0, 0), gray_prob=0, mean=(0, 0, 0), std=(1, 1, 1))
KINDS = ["TIFF", "JPEG2000", "PPM", "AVIF", *["HEIF"] * HEIC]
ENDINGS = {"TIFF": ".tif", "JPEG2000": ".jp2", "PPM": ".pnm", "HEIF": ".heic"}
CONTENTS = list((FILES | DEEP).values())
try:
    from tests.data.dicom_files import dicom

    CONTENTS.append(dicom(np.asarray(PHOTO.convert("L"))))
except ImportError:  # pydicom is an extra
    dicom = None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder of a picture of each kind; their names say nothing."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, content in enumerate(CONTENTS):
        (folder / f"{number:03}").write_bytes(content)
    return str(folder)


def views(folder, ops="numba", upright=False):
    """Returns (the views of a batch of a folder's pictures, the names of those that are bad)."""
    source, bad = Folder(folder), BadImages()
    source.upright = upright
    pairs = random_views(source, PLAIN, Order(0, source.size, 1), bad_images=bad, ops=ops)
    return np.stack(next(iter(pairs))), [name.rpartition("/")[2] for name in bad.names]


def test_all_are_trained_on_whatever_makes_views(folder):
    made = {ops: views(folder, ops) for ops in OPS}
    for pairs, bad in made.values():
        assert pairs.shape == (2, len(CONTENTS), 24, 24, 3) and not bad
        assert (np.ptp(pairs, axis=(2, 3, 4)) > 0.05).mean() > 0.9  # a crop may have one colour
    np.testing.assert_allclose(made["numba"][0], made["tensorflow"][0], atol=1e-3)


def test_all_are_evaluated_and_embedded(folder):
    source, bad = Folder(folder), BadImages()
    examples = tf.data.Dataset.range(source.size).map(lambda number: (number, number))
    images, labels = next(iter(centre_views(source, examples, PLAIN, bad)))
    assert labels.numpy().tolist() == list(range(len(CONTENTS))) and not bad.names
    _, decoded, embedded = next(iter(files_under(folder).views(24, len(CONTENTS))))
    assert decoded.numpy().all()
    np.testing.assert_allclose(embedded / 255, images, atol=1e-6)


def test_a_folder_says_what_it_has(folder):
    found = Folder(folder).found()
    assert all(f"% {kind}" in found for kind in KINDS) and "unknown" not in found
    assert not dicom or "% DICOM" in found


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_bad_images(tmp_path, kind):
    whole = encoded(PHOTO, kind)
    for share in (0, 0.1, 0.5, 0.9, 0.99):
        (tmp_path / f"{share}{ENDINGS.get(kind, '.avif')}").write_bytes(
            whole[: int(share * len(whole))]
        )
    (tmp_path / "noise.tif").write_bytes(whole[:12] + np.random.default_rng(0).bytes(2000))
    (tmp_path / "whole.jpg").write_bytes(whole)
    pairs, bad = views(str(tmp_path))
    assert len(bad) == 6 and "whole.jpg" not in bad and np.isfinite(pairs).all()


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_pixels_are_refused_by_the_header(kind, monkeypatch):
    content = encoded(PHOTO, kind)
    cost = 40 * 30 * COSTS[format_of(content)] + len(content)
    most = -(-cost // 4)
    assert decode(content, max_pixels=most).shape == (30, 40, 3)
    decoded = []
    monkeypatch.setattr(other_formats, "_rgb", decoded.append)
    with pytest.raises(ValueError, match=f"40 x 30 pixels, which take .* --max_pixels={most - 1}; try"):
        other_formats.pixels_of(content, most - 1)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(content, max_pixels=most - 1)
    assert not decoded


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "WEBP"])
def test_exif_turns_them_only_if_wanted(kind, number, tmp_path):
    exif = Image.Exif()
    exif[TAG] = number
    more = {"save_all": True, "append_images": [PHOTO.rotate(90)]} if kind == "WEBP" else {}
    content = encoded(PHOTO, kind, exif=exif, **more)
    stored = encoded(PHOTO, kind, **more)
    np.testing.assert_array_equal(decode_image(content, upright=False), decode(stored))
    flat = np.arange(1200, dtype=np.uint8).reshape(30, 40)  # what turns must be the very picture
    expected = Image.fromarray(decode(stored).numpy())
    if number > 1:
        expected = expected.transpose(other_formats.UNTURNED[{6: 8, 8: 6}.get(number, number)])
    np.testing.assert_array_equal(decode_image(content, upright=True), np.asarray(expected))
    if kind == "TIFF":
        (tmp_path / "a.tif").write_bytes(encoded(Image.fromarray(flat), kind, exif=exif))
        (tmp_path / "b.tif").write_bytes(encoded(Image.fromarray(flat), kind, exif=exif))
        assert ("100 % rotated by EXIF" in Folder(str(tmp_path)).found()) == (number > 1)


@pytest.mark.skipif(not HEIC, reason="pillow-heif is an extra")
def test_heic_is_always_upright():
    exif = Image.Exif()
    exif[TAG] = 6
    content = encoded(PHOTO, "HEIF", exif=exif.tobytes())
    for upright in (False, True):
        assert decode_image(content, upright).shape == (40, 30, 3)


def test_where_no_python_is_they_are_no_images():
    spec, image_of = signatures_of(None)["serving_default"]

    @tf.function(input_signature=[spec], autograph=False)
    def graph(x):
        return views_of(x, image_of, PLAIN, upright=True)

    jpeg = encoded(PHOTO, "JPEG")
    _, valid = graph(tf.constant([jpeg, *(encoded(PHOTO, kind) for kind in KINDS)]))
    assert valid.numpy().tolist() == [True] + [False] * len(KINDS)
    functions = graph.get_concrete_function().graph.as_graph_def().library.function
    assert not any("PyFunc" in node.op for function in functions for node in function.node_def)


def test_without_its_extra_a_format_is_left_out_and_counted(tmp_path, monkeypatch):
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    for name, content in (
        *(("a.heic", heic), ("no ending", heic), ("b.DCM", bytes(128) + b"DICM")),
        *(("c.heic", encoded(PHOTO, "JPEG")), ("d.tif", encoded(PHOTO, "TIFF"))),
    ):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(formats, "is_installed", lambda name: name not in formats.EXTRAS)
    formats.endings.cache_clear()
    try:
        source = Folder(str(tmp_path))
        told = str(source.left_out)
    finally:
        formats.endings.cache_clear()
    how = r"{}: to read them: pip install '(mocotf|\.)\[{}\]', "
    kinds = f"1 {how.format('.heic', 'heic')}1 {how.format('.dcm', 'dicom')}1 without an ending"
    assert source.size == 2
    assert re.fullmatch(rf"left out: 3 that are no pictures to be read \({kinds}\)", told)
