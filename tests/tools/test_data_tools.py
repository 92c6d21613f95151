"""The programs that look at data before a run."""

import os
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.decode import decode
from mocotf.data.decode import or_else
from mocotf.data.folder import Folder
from tests import processes


def write(path, size, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def test_check_data_names_what_is_wrong_with_a_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "a.jpg", (40, 30), 0)
    write(tmp_path / "sub" / "b.png", (100, 200), 1)
    shutil.copy(tmp_path / "a.jpg", tmp_path / "sub" / "copy.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    (tmp_path / "empty.png").write_bytes(b"")
    done = processes.run("tools/check_data.py", f"--data_dir={tmp_path}", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["images"] == 3 and found["formats"] == {"JPEG": 2, "PNG": 1}
    assert found["short_side"] == {"min": 30, "median": 30, "max": 100}
    assert [os.path.basename(p) for p, _ in found["unreadable"]] == ["cut.jpg", "empty.png"]
    assert found["duplicates"] == [[str(tmp_path / "sub" / "copy.jpg"), str(tmp_path / "a.jpg")]]
    assert "2 unreadable" in done.out and "1 duplicates" in done.out
    assert processes.run("tools/check_data.py", "--data_dir=/nowhere").code == 1


def write_odd_files(folder):
    """Writes files of all kinds; returns {name: why training skips it, None where it does not}."""
    os.makedirs(folder)
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    photo = Image.fromarray(pixels)
    kinds = {
        "cmyk.jpg": (photo.convert("CMYK"), "JPEG", None),
        "pair.jpg": (photo, "MPO", None),
        "png.jpg": (photo, "PNG", None),
        "webp.jpg": (photo, "WEBP", None),
        "gray.png": (photo.convert("L"), "PNG", None),
        "palette.gif": (photo.convert("P"), "GIF", None),
        "palette.bmp": (photo.convert("P"), "BMP", None),
        "1-bit.bmp": (
            photo.convert("1"),
            "BMP",
            "damaged, or a kind of BMP that TensorFlow does not read",
        ),
        "tiff.jpg": (photo, "TIFF", "format TIFF is not read by TensorFlow"),
        "cut.gif": (photo, "GIF", "image file is truncated"),
        "cut.bmp": (photo, "BMP", "image file is truncated"),
    }
    for name, (image, fmt, _) in kinds.items():
        path = folder / name
        image.save(path, fmt, **({"save_all": True, "append_images": [photo]} if fmt == "MPO" else {}))
        if name.startswith("cut"):
            path.write_bytes(path.read_bytes()[:-300])
    huge = bytearray((folder / "gray.png").read_bytes())
    huge[16:24] = (20_000).to_bytes(4) * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4)
    (folder / "huge.png").write_bytes(huge)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"no picture at all")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "folder.jpg").mkdir()  # not a file: no image to either
    with open(os.fsencode(folder) + b"/\xff\xfe.jpg", "wb") as file:
        file.write(b"named in no language")
    return {name: why for name, (_, _, why) in kinds.items()} | {
        "huge.png": "20000 x 20000 pixels, more than 178956970",
        "empty.jpg": "empty file",
        "text.jpg": "no image",
        "dangling.jpg": "No such file or directory",
        "\\xff\\xfe.jpg": "no image",
    }


def test_check_data_lists_what_training_skips(tmp_path):
    folder = tmp_path / "photos"
    expected = write_odd_files(folder)
    done = processes.run("tools/check_data.py", f"--data_dir={folder}", "--json")
    assert done.code == 0, done.err
    found = done.json
    reasons = {os.path.basename(path): why for path, why in found["unreadable"]}
    assert reasons.keys() == {name for name, why in expected.items() if why}
    for name, why in reasons.items():
        assert why.startswith(expected[name]), name
        assert f"{name}: {why}" in done.out
    assert found["formats"] == {"BMP": 1, "GIF": 1, "JPEG": 2, "PNG": 2, "WEBP": 1}
    assert found["images"] == 7 and found["short_side"] == {"min": 30, "median": 30, "max": 30}
    assert "warn" not in done.err.lower()

    source, bad = Folder(str(folder)), BadImages()
    images = tf.data.Dataset.range(source.size)
    decoded = images.map(
        lambda i: or_else(lambda: tf.shape(decode(source.load(i))), tf.zeros([3], tf.int32))[0]
    )
    for i, good in zip(images, decoded, strict=True):
        bad.report(source.describe(i).numpy() if not good else np.array([], object))
    assert sorted(bad.names) == sorted(path for path, _ in found["unreadable"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_check_data_names_files_without_permission(tmp_path):
    write(tmp_path / "a.jpg", (40, 30), 0)
    (tmp_path / "a.jpg").chmod(0)
    done = processes.run("tools/check_data.py", f"--data_dir={tmp_path}")
    assert done.code == 0, done.err
    assert "a.jpg: Permission denied" in done.out


def test_preview_views_draws_what_the_encoder_sees(tmp_path):
    recipe = "--flagfile=flags/demo.cfg"
    done = processes.run("tools/preview_views.py", recipe, f"--out={tmp_path / 'v.png'}", "--json")
    assert done.code == 0, done.err
    assert done.json["pairs"] == 32
    with Image.open(tmp_path / "v.png") as image:
        assert image.size == (8 * 64, 4 * 2 * 64)
        assert np.asarray(image).std() > 20
