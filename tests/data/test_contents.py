"""Digests of files as sha256sum lists them, and what is said of those that have changed."""

import os
import shutil
import subprocess

import pytest
import tensorflow as tf

from mocotf.data.contents import UNREADABLE
from mocotf.data.contents import Contents
from mocotf.data.contents import read_contents
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.patches import PHOTOGRAPHS
from mocotf.data.sources.patches import Patches
from mocotf.data.sources.tfrecord import TFRecords
from mocotf.errors import UserError
from tests.data.support import example
from tests.data.support import write_colours
from tests.data.support import write_records

ODD = ("y\nz.png", "cr\r.png", "b\\n.png", "\udcff.png", "  x.png")


def listed(**digests):
    """Returns the `Contents` of files, name → a letter of which its digest is made."""
    return Contents(b"".join(f"{x * 64}  {name}\n".encode() for name, x in digests.items()))


def test_sha256sum_checks_what_is_listed(tmp_path):
    for part in ("train", "val"):
        for label in ("a", "b"):
            write_colours(tmp_path / "data" / part / label, 2)
    for name in ODD:
        shutil.copy(tmp_path / "data/val/a/000.png", os.fsencode(tmp_path / "data/val/b" / name))
    found = read_contents(Folder(str(tmp_path / "data")))
    assert found.text.count(b"  train/") == 4 and found.text.count(b"  val/") == 9
    (tmp_path / "data.sha256").write_bytes(found.text)
    if not shutil.which("sha256sum"):
        pytest.skip("there is no sha256sum")
    command = ["sha256sum", "--strict", "--check", "--quiet", tmp_path / "data.sha256"]
    assert subprocess.run(command, cwd=tmp_path / "data", check=False).returncode == 0
    with open(tmp_path / "data/val/a/000.png", "ab") as file:
        file.write(b"x")
    assert subprocess.run(command, cwd=tmp_path / "data", check=False, capture_output=True).returncode


def test_what_has_changed_is_said_by_name():
    before = listed(a="1", b="2", c="3", d="4", e="5", f="6", g="7")
    for now, said in (
        (before, ""),
        (listed(a="1", b="2", c="3", d="0", e="5", f="6", g="7"), "1 of 7 files changed: d"),
        (
            listed(a="0", b="0", c="0", d="0", e="5", f="6", g="7", h="8", i="9"),
            "4 of 7 files changed: a, b, c, …; 2 are new: h, i",
        ),
        (listed(b="2", c="3", d="4", e="5", f="6", g="7"), "1 is gone: a"),
        (listed(b="2", a="1", c="3", d="4", e="5", f="6", g="7"), "the same files in another order"),
    ):
        assert before.changes_to(now) == said and (before.digest == now.digest) == (not said)
    double = listed(a="1").text + listed(a="2").text  # of two places
    other = listed(a="1").text + listed(a="3").text
    assert Contents(double).changes_to(Contents(other)) == "1 of 1 files changed: a"
    assert listed(a="1").digest == listed(b="1").digest != listed(a="2").digest


def test_what_cannot_be_read_is_noted_and_may_come_back(tmp_path, caplog):
    write_colours(tmp_path, 3)
    rows = ["gone\x1b.png", *sorted(path.name for path in tmp_path.iterdir())]
    (tmp_path / "list.txt").write_text("\n".join(rows))
    source = Folder(None, str(tmp_path / "list.txt"))
    before = read_contents(source)
    assert before.text.startswith(f"{UNREADABLE}  gone\x1b.png\n".encode())
    assert "1 of 4 files cannot be read: gone\\x1b.png" in caplog.text
    shutil.copy(tmp_path / rows[1], tmp_path / rows[0])
    assert before.changes_to(read_contents(source)) == "1 of 4 files changed: gone\\x1b.png"


def test_shards_are_read_whole_and_the_embedded_photographs_too(tmp_path, monkeypatch):
    monkeypatch.setattr("mocotf.data.sources.records.PIECE", 10)
    images = [example(image__encoded=bytes([i])) for i in range(4)]
    for name in ("train-0", "train-1", "validation-0"):
        write_records(str(tmp_path / name), images)
    source = TFRecords(str(tmp_path))
    before, names = read_contents(source), source.digest()
    with open(tmp_path / "train-1", "r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"!")
    assert before.changes_to(read_contents(source)) == "1 of 3 files changed: train-1"
    assert source.digest() == names
    write_records(str(tmp_path / "validation-0"), images[:3])
    assert TFRecords(str(tmp_path)).digest() != names
    lines = read_contents(Patches()).text.decode().splitlines()
    assert [line[66:] for line in lines] == PHOTOGRAPHS and UNREADABLE not in {x[:64] for x in lines}


def test_an_address_that_does_not_answer_is_no_change(tmp_path, monkeypatch):
    url = f"ram://{tmp_path.name}"
    tf.io.gfile.makedirs(url)
    with tf.io.gfile.GFile(f"{url}/a.png", "wb") as file:
        file.write(b"a")
    source = Folder(url)
    assert UNREADABLE.encode() not in read_contents(source).text

    def silent(path):
        raise OSError("no route to host")

    monkeypatch.setattr("mocotf.data.places.remote.read", silent)
    with pytest.raises(UserError, match=r"ram://.*/a.png: no route to host; the same command goes on"):
        read_contents(source)
