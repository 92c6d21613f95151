"""The commands that look at data before a run."""

import os
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.pretraining import random_views
from mocotf.data.settings import DataSettings
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.open import open_source
from mocotf.data.views import augmentations
from mocotf.data.views.decode import decode
from mocotf.data.views.decode import or_else
from tests import processes


def noise(size, seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8))


def test_check_data_names_what_is_wrong_with_a_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    noise((40, 30), 0).save(tmp_path / "a.jpg")
    noise((100, 200), 1).save(tmp_path / "sub" / "b.png")
    shutil.copy(tmp_path / "a.jpg", tmp_path / "sub" / "copy.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    (tmp_path / "empty.png").touch()
    (tmp_path / "raw.nef").write_text("no picture that is read")
    (tmp_path / ".hidden.jpg").touch()
    exif = Image.Exif()
    exif[0x0112] = 3
    noise((50, 60), 2).save(tmp_path / "turned.jfif", "JPEG", exif=exif)
    done = processes.succeed("check_data", f"--data_dir={tmp_path}", "--json")
    found = done.json
    assert found["images"] == 4 and found["formats"] == {"JPEG": 3, "PNG": 1}
    assert found["short_side"] == {"min": 30, "median": 40, "max": 100}
    assert (found["rotated"], found["hidden"], found["not_pictures"]) == (1, 1, {".nef": 1})
    assert "1 rotated by EXIF" in done.out
    assert "left out: 1 hidden, 1 not pictures\n  1 .nef\n" in done.out
    assert [os.path.basename(p) for p, _ in found["unreadable"]] == ["cut.jpg", "empty.png"]
    assert found["duplicates"] == [[str(tmp_path / "sub" / "copy.jpg"), str(tmp_path / "a.jpg")]]
    assert "2 unreadable" in done.out and "1 duplicated" in done.out
    assert processes.run("check_data", "--data_dir=/nowhere").code == 1


def test_check_data_measures_channels_and_writes_them_as_flags(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.normal((100, 5, -3), (20, 1, 0.5), (8, width, 3)) for width in (8, 40)]
    for i, image in enumerate(images):
        np.save(tmp_path / f"{i}.npy", image)
    np.save(tmp_path / "nan.npy", np.full([8, 8, 3], np.nan))
    flags = f"--data_dir={tmp_path}", "--channels=3", f"--write={tmp_path}/mine.cfg"
    done = processes.succeed("check_data", *flags, "--json")
    pixels = np.concatenate([image.reshape(-1, 3) for image in images])
    channels = done.json["channels"]
    np.testing.assert_allclose(channels["mean"], pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(channels["std"], pixels.std(0), rtol=1e-5)
    np.testing.assert_allclose(channels["max"], pixels.max(0), rtol=1e-5)
    assert [why for _, why in done.json["unreadable"]] == ["has a NaN or an infinite value"]
    assert f"channel 2: mean {pixels[:, 1].mean():.6g}, std" in done.out
    written = (tmp_path / "mine.cfg").read_text().splitlines()
    assert written[0] == "--channels=3" and written[1].startswith(f"--mean={pixels[:, 0].mean():.6g},")
    refused = processes.run("check_data", f"--data_dir={tmp_path}", "--write=x")
    assert refused.code == 1 and "--write=x does nothing without --channels" in refused.err


def test_check_data_with_channels_has_the_limit_of_training_with_them(tmp_path):
    for side in (8, 24):
        np.save(tmp_path / f"{side}.npy", np.ones([side, side, 3], np.float32))
    flags = f"--data_dir={tmp_path}", "--channels=3", "--max_pixels=12000", "--json"
    unreadable = processes.succeed("check_data", *flags).json["unreadable"]
    source = open_source(DataSettings("folder", str(tmp_path), max_pixels=12000))
    bad = BadImages()
    view = augmentations.v2(size=8, mean=(0.0,) * 3, std=(1.0,) * 3, channels=3)
    for _ in random_views(source, view, Order(0, 2, 1), bad_images=bad).take(1):
        assert bad.names == [path for path, _ in unreadable] == [str(tmp_path / "24.npy")]


def write_odd_files(folder):
    """Writes files of all kinds; returns {name: why training skips it} of those that it does."""
    os.makedirs(folder)
    photo = noise((40, 30), 0)
    kinds = [
        ("cmyk.jpg", "CMYK", "JPEG"), ("pair.jpg", "RGB", "MPO"), ("png.jpg", "RGB", "PNG"),
        ("webp.jpg", "RGB", "WEBP"), ("gray.png", "L", "PNG"), ("palette.gif", "P", "GIF"),
        ("palette.bmp", "P", "BMP"), ("1-bit.bmp", "1", "BMP"), ("tiff.jpg", "RGB", "TIFF"),
        ("icon.jpg", "RGB", "ICO"), ("cut.jp2", "RGB", "JPEG2000"), ("cut.gif", "RGB", "GIF"),
        ("cut.bmp", "RGB", "BMP"),
    ]  # fmt: skip
    for name, mode, fmt in kinds:
        more = {"save_all": True, "append_images": [photo]} if fmt == "MPO" else {}
        photo.convert(mode).save(folder / name, fmt, **more)
        if name.startswith("cut"):
            (folder / name).write_bytes((folder / name).read_bytes()[:-300])
    huge = bytearray((folder / "gray.png").read_bytes())
    huge[16:24] = (20_000).to_bytes(4) * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4)
    (folder / "huge.png").write_bytes(huge)
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_bytes(b"no picture at all")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "folder.jpg").mkdir()  # not a file: no image to either
    (folder / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(b"named in no language")
    return {
        "icon.jpg": "format ICO is not read",
        "cut.jp2": "broken data stream",
        "cut.gif": "image file is truncated",
        "cut.bmp": "image file is truncated",
        "huge.png": "20000 x 20000 pixels, which take 1,600 MB; expected at most 480 MB",
        "empty.jpg": "empty file",
        "text.jpg": "no image",
        "dangling.jpg": "No such file or directory",
        "\\xff\\xfe.jpg": "no image",
    }


def test_check_data_lists_what_training_skips(tmp_path):
    folder = tmp_path / "photos"
    expected = write_odd_files(folder)
    done = processes.succeed("check_data", f"--data_dir={folder}", "--json")
    found = done.json
    reasons = {os.path.basename(path): why for path, why in found["unreadable"]}
    assert reasons.keys() == expected.keys()
    for name, why in reasons.items():
        assert why.startswith(expected[name]), name
        assert f"{name}: {why}" in done.out
    assert found["formats"] == {"BMP": 2, "GIF": 1, "JPEG": 2, "PNG": 2, "TIFF": 1, "WEBP": 1}
    assert found["images"] == 9 and found["short_side"] == {"min": 30, "median": 30, "max": 30}
    assert "warn" not in done.err.lower()

    source, bad = Folder(str(folder)), BadImages()
    images, empty = tf.data.Dataset.range(source.size), tf.zeros([3], tf.int32)
    decoded = images.map(lambda i: or_else(lambda: tf.shape(decode(source.load(i))), empty)[0])
    for i, good in zip(images, decoded, strict=True):
        bad.report(source.describe(i).numpy() if not good else np.array([], object))
    assert sorted(bad.names) == sorted(path for path, _ in found["unreadable"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_check_data_names_files_without_permission(tmp_path):
    noise((40, 30), 0).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").chmod(0)
    out = processes.succeed("check_data", f"--data_dir={tmp_path}").out
    assert "a.jpg: Permission denied" in out


def test_preview_views_draws_what_the_encoder_sees(tmp_path):
    flags = "--recipe=demo", f"--out={tmp_path / 'v.png'}", "--json"
    assert processes.succeed("preview", *flags).json["pairs"] == 32
    with Image.open(tmp_path / "v.png") as image:
        assert image.size == (557, 537)  # 8 × 4 pairs of 2 × 64 pixels, and gutters
        assert np.asarray(image).std() > 20
