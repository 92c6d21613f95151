"""The programs that look at data before a run."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(tool, *arguments):
    process = subprocess.run(
        [sys.executable, os.path.join(ROOT, "tools", tool), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
    )
    return process.returncode, process.stdout, process.stderr


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
    code, out, err = run("check_data.py", f"--data_dir={tmp_path}", "--json")
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert found["images"] == 3 and found["formats"] == {"JPEG": 2, "PNG": 1}
    assert found["short_side"] == {"min": 30, "median": 30, "max": 100}
    assert [os.path.basename(p) for p, _ in found["unreadable"]] == ["cut.jpg", "empty.png"]
    assert found["duplicates"] == [[str(tmp_path / "sub" / "copy.jpg"), str(tmp_path / "a.jpg")]]
    assert "2 unreadable" in out and "1 duplicates" in out
    assert run("check_data.py", "--data_dir=/nowhere")[0] == 1


def test_preview_views_draws_what_the_encoder_sees(tmp_path):
    recipe = f"--flagfile={ROOT}/flags/demo.cfg"
    code, out, err = run("preview_views.py", recipe, f"--out={tmp_path / 'v.png'}", "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["pairs"] == 32
    with Image.open(tmp_path / "v.png") as image:
        assert image.size == (8 * 64, 4 * 2 * 64)
        assert np.asarray(image).std() > 20
