"""Pictures in archives, at addresses, in several folders and in lists are those of a folder."""

import errno
import functools
import gc
import http.server
import io
import os
import re
import shutil
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.contents import read_contents
from mocotf.data.places import remote
from mocotf.data.places.archives import Archive
from mocotf.data.settings import DataSettings
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.open import open_source
from mocotf.errors import UserError

NAMES = [f"{c}/{c}{i}.png" for c in ("bird", "cat") for i in range(6)]


def picture(seed):
    """Returns the bytes of a PNG file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, [8, 8, 3], np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


CONTENT = {name: picture(i) for i, name in enumerate(NAMES)}


def lay(folder, content=CONTENT):
    """Writes files, name → bytes, under a folder, and returns it as a text."""
    for name, data in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(folder)


def zipped(path, content=CONTENT, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in reversed(content.items()):
            archive.writestr(name, data)
    return str(path)


def tarred(path, content=CONTENT):
    with tarfile.open(path, "w") as archive:
        for name, data in reversed(content.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return str(path)


def listed(path, rows):
    path.write_text("".join(f"{row}\n" for row in rows))
    return str(path)


def contents(source):
    """Returns [(bytes, class)] of all training images, in order of number."""
    handles = list(tf.range(source.size, dtype=tf.int64))
    names = source.class_names
    labels = [int(source.label(tf.constant(handle, tf.int64))) for handle in handles]
    loaded = [source.load(tf.constant(handle, tf.int64)).numpy() for handle in handles]
    return [
        (data, names[label] if label >= 0 else "") for data, label in zip(loaded, labels, strict=True)
    ]


def drawn(source):
    """Returns the bytes of the images of a step and a half, as training reads them."""
    order = Order(seed=3, batch_size=8, steps_per_epoch=source.steps_per_epoch(8))
    loaded = source.draw(order, 1).take(12).map(lambda _, handle: source.load(handle))
    return list(loaded.as_numpy_iterator())


def at_address(tmp_path, kind):
    url = f"{kind}://{tmp_path.name}"
    for name, data in CONTENT.items():
        if kind == "memory":
            import fsspec

            fsspec.filesystem("memory").pipe(f"/{tmp_path.name}/{name}", data)
        else:
            tf.io.gfile.makedirs(f"{url}/{os.path.dirname(name)}")
            with tf.io.gfile.GFile(f"{url}/{name}", "wb") as file:
                file.write(data)
    return url


FIRST, REST = (dict(part) for part in (list(CONTENT.items())[:5], list(CONTENT.items())[5:]))
LABELLED = [(name, name.split("/")[0]) for name in NAMES]


def archives(path):
    zipped(path / "s-08.zip", FIRST)
    tarred(path / "s-09.tar", REST)
    return path


def table(path, start, ending=".csv", mark=","):
    """Returns the arguments for a list of labelled pictures whose paths begin so."""
    rows = [f"path{mark}label", *(f"{start}{name}{mark}{label}" for name, label in LABELLED)]
    return None, listed(path / f"l{ending}", rows)


def several_tars(path):
    for number, content in ((8, FIRST), (9, REST)):
        tarred(path / f"s-{number:02}.tar", content)
    return (f"{path}/s-{{08..09}}.tar",)


PLACES = {  # kind → arguments of Folder, given a folder to write in
    "zip": lambda p: (zipped(p / "a.zip"),),
    "zip that is not packed": lambda p: (zipped(p / "a.zip", how=zipfile.ZIP_STORED),),
    "tar": lambda p: (tarred(p / "a.tar"),),
    "tar of one folder": lambda p: (tarred(p / "a.tar", {f"./x/{n}": d for n, d in CONTENT.items()}),),
    "folder of archives": lambda p: (str(archives(p)),),
    "pattern": lambda p: (f"{archives(p)}/*-0?.*",),
    "numbered archives": several_tars,
    "two places": lambda p: (f"{lay(p / 'a', FIRST)},{zipped(p / 'b.zip', REST)}",),
    "list": lambda p: (lay(p / "a"), listed(p / "l.txt", NAMES)),
    "table": lambda p: table(p, os.path.relpath(lay(p / "a"), p) + "/"),
    "table of whole paths": lambda p: table(p, lay(p / "a") + "/", ".tsv", "\t"),
    "table of addresses": lambda p: table(p, at_address(p, "memory") + "/"),
    "TensorFlow's file system": lambda p: (at_address(p, "ram"),),
    "fsspec's file system": lambda p: (at_address(p, "memory"),),
}


@pytest.mark.parametrize("kind", PLACES)
def test_order_labels_and_draws_are_those_of_a_folder(tmp_path, kind):
    expected = Folder(lay(tmp_path / "expected"))
    shown = tmp_path / "shown"
    shown.mkdir()
    data_dir, files = (*PLACES[kind](shown), None)[:2]
    source = open_source(DataSettings(dataset="folder", data_dir=data_dir, files=files))
    assert contents(source) == contents(expected)
    assert contents(source)[7] == (CONTENT["cat/cat1.png"], "cat")
    assert drawn(source) == drawn(expected)
    assert source.evaluation_sizes == expected.evaluation_sizes == (10, 2)
    assert source.found().startswith("12 images (100 % PNG, 8×8), 2 classes, kNN asks about 2 of them")
    path = source.describe(tf.constant(7, tf.int64)).numpy().decode()
    assert path.endswith("cat/cat1.png") and ("/" in path.removesuffix("cat/cat1.png"))
    assert source.digest() == open_source(DataSettings("folder", data_dir, files=files)).digest()
    assert read_contents(source).digest == read_contents(expected).digest


def test_a_digest_does_not_hold_the_place(tmp_path):
    digests = {Folder(lay(tmp_path / name)).digest() for name in "ab"}
    digests |= {Folder(str(tmp_path / "b"), listed(tmp_path / "l.txt", NAMES)).digest()}
    assert len(digests) == 1


@pytest.mark.parametrize("write", [zipped, tarred])
def test_parts_are_found_within_an_archive(tmp_path, write):
    content = {f"set/Train/{n}": d for n, d in CONTENT.items()} | {f"set/valid/{NAMES[0]}": picture(99)}
    content |= {"set/extra/x.png": picture(98), "set/__MACOSX/._x.png": b"", "set/README.txt": b"hello"}
    content |= {"set/Train/cat/noted": CONTENT[NAMES[0]], "set/Train/cat/Thumbs.db": b""}
    source = Folder(write(tmp_path / f"a.{write.__name__[:3]}", content))
    assert (source.size, source.evaluation_sizes, source.unused) == (13, (13, 1), ("extra",))
    assert "1 held out; not used: extra; left out: 1 that are no pictures" in source.found()


@pytest.mark.parametrize("write", [zipped, tarred])
def test_parts_are_found_by_the_names_of_archives(tmp_path, write):
    ending = write.__name__[:3]
    write(tmp_path / f"train-000.{ending}")
    write(tmp_path / f"val-000.{ending}", {NAMES[0]: picture(99)})
    write(tmp_path / f"other.{ending}")
    source = Folder(str(tmp_path))
    assert (source.size, source.evaluation_sizes) == (12, (12, 1))
    assert source.unused == (f"other.{ending}",)
    assert Folder(str(tmp_path / "*-000.*")).size == 13


def test_labels_of_webdataset_are_read(tmp_path):
    content = {}
    for i in range(12):
        content |= {f"{i:03}.rgb.png": picture(i), f"{i:03}.cls": b"%d\n" % (i + 2)}
    content |= {"012.png": picture(12), "000.json": b"{}"}
    source = Folder(tarred(tmp_path / "a.tar", content))
    found = contents(source)
    assert source.class_names == tuple(map(str, range(2, 14)))
    assert found[8:] == [(picture(i), str(i + 2)) for i in range(8, 12)] + [(picture(12), "")]
    assert str(source.left_out) == "left out: 1 that are no pictures to be read (1 .json)"


def test_a_group_is_asked_about_as_a_whole(tmp_path):
    folder = lay(tmp_path / "a", {f"{i:02}.png": picture(i) for i in range(30)})
    rows = [f"{i:02}.png,{i % 2},video{i // 3}" for i in range(29)]
    source = Folder(folder, listed(tmp_path / "l.csv", ["path,label,group", *rows, "29.png,0,"]))
    handles = [int(handle) for handle, _ in source.evaluation("queries")]
    assert handles == [0, 1, 2] and source.evaluation_sizes == (27, 3)


def test_what_an_archive_cannot_give_is_left_out_and_counted(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*NAMES, "../up.png", "/root.png", "C:/disk.png", "a/../../up.png"):
            archive.writestr(name, picture(0))
        archive.writestr("other.png", picture(0), zipfile.ZIP_LZMA)
    content = path.read_bytes()
    source = Folder(str(path))
    assert source.size == 12
    expected = "left out: 4 named outside the archive, 1 packed by other means than deflate"
    assert str(source.left_out) == expected and expected in source.found()
    assert not (tmp_path / "up.png").exists()

    damaged = content.replace(CONTENT[NAMES[0]][-30:], bytes(30), 1)
    path.write_bytes(damaged)
    assert Folder(str(path)).size == 12
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a.zip: File is not a zip file; expected a whole zip or tar"):
        Folder(str(path))


def test_a_tar_that_is_cut_short_is_used_up_to_there_and_named(tmp_path):
    path = tmp_path / "a.tar"
    tarred(path)
    path.write_bytes(path.read_bytes()[: 512 * 11])
    source = Folder(str(path))
    assert 0 < source.size < 12
    assert source.bad_shards == (f"{path}: cut short after {source.size} files",)
    path.write_bytes(path.read_bytes()[:600])
    message = "a.tar: no images found; expected .*; .*cut short after 0 files"
    with pytest.raises(UserError, match=message):
        Folder(str(path))


def test_a_tar_is_used_up_to_a_header_that_is_damaged(tmp_path):
    path = tmp_path / "a.tar"
    tarred(path)
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        begin = archive.getmembers()[7].offset
    content[begin] ^= 1
    path.write_bytes(content)
    source = Folder(str(path))
    assert source.size == 7 and source.bad_shards == (f"{path}: damaged after 7 files",)


def test_a_label_that_is_damaged_is_told(tmp_path):
    path = tmp_path / "a.zip"
    zipped(path, {"0.png": picture(0), "0.cls": b"12345678" * 9})
    content = path.read_bytes()
    begin = content.index(b"0.cls") + len("0.cls")
    path.write_bytes(content[:begin] + b"\xff" * 8 + content[begin + 8 :])
    with pytest.raises(UserError, match=r"a.zip: a label: .*; expected a whole zip or tar archive"):
        Folder(str(path))


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="Permission denied; expected a folder that can be read"):
        Folder(str(tmp_path))


def test_a_list_of_pictures_below_an_address_is_read_as_the_address_is(tmp_path):
    url = at_address(tmp_path, "memory")
    source = Folder(url, listed(tmp_path / "l.txt", NAMES))
    assert "PNG, 8×8" in source.found()
    assert [data for data, _ in contents(source)] == [CONTENT[name] for name in NAMES]
    assert sorted(drawn(source))


def test_a_list_with_missing_files_is_read_and_they_are_named(tmp_path):
    folder = lay(tmp_path / "a")
    rows = ["cat/gone.png", *NAMES]
    source = Folder(folder, listed(tmp_path / "l.txt", rows))
    assert source.size == 13 and "8 % unknown" in source.found()
    with pytest.raises(tf.errors.NotFoundError):
        source.load(tf.constant(0))


@pytest.mark.parametrize(
    ("data_dir", "files", "message"),
    [
        ("{}/a", "{}/none.txt", "--files={}/none.txt: .*No such file.*; expected a list of pictures"),
        ("{}/b", "{}/l.txt", "--files={}/l.txt: {}/b/{}: no such file, and none of the 12 first ones"),
        ("{}/a", "{}/l.csv", "--files={}/l.csv: columns file, label; expected a first line with path"),
        ("{}/a", "{}/m.csv", "--files={}/m.csv: columns path, split; expected a first line with path"),
        ("{}/a", "{}/empty.txt", "--files={}/empty.txt: no images found"),
        ("{}/none-*.tar", None, "--data_dir={}/none-.*: no such folder"),
        ("{}/a,{}/none", None, "--data_dir={}/none: no such folder"),
        ("{}/a.tar.gz", None, "--data_dir={}/a.tar.gz: packed as a whole.* unpack it once"),
        (
            "memory://none",
            None,
            "memory://none: nothing is there, or nothing answers; expected the address of a folder",
        ),
        ("ram://none", None, "ram://none: .*; expected the address of a folder; some kinds"),
        ("nosuch://x", None, "nosuch://x: .*nosuch.*; expected the address of a folder; some kinds"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(tmp_path, data_dir, files, message):
    lay(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "a.tar.gz").write_bytes(b"")
    listed(tmp_path / "l.txt", NAMES)
    listed(tmp_path / "l.csv", ["file,label", "a,b"])
    listed(tmp_path / "m.csv", ["path,split", "a,b"])
    listed(tmp_path / "empty.txt", [])
    texts = [text and text.replace("{}", str(tmp_path)) for text in (data_dir, files)]
    message = message.replace("{}/b/{}", f"{tmp_path}/b/{NAMES[0]}").replace("{}", str(tmp_path))
    with pytest.raises(UserError, match=message) as error:
        Folder(*texts)
    assert "\n" not in str(error.value)


@pytest.fixture
def server(tmp_path):
    """The address of an HTTP server of a folder."""
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=lay(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("localhost", 0), serve) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://localhost:{running.server_address[1]}"
        running.shutdown()


def test_pictures_are_read_over_http(server, tmp_path):
    assert contents(Folder(server)) == contents(Folder(str(tmp_path / "served")))
    rows = ["path,label", f"{server}/{NAMES[0]},a", f"{server}/gone.png,b"]
    source = Folder(None, listed(tmp_path / "l.csv", rows))
    assert "50 % PNG, 50 % unknown, 8×8), 2 classes" in source.found()
    with pytest.raises(UserError, match=r"localhost:\d+/none: .*; expected the address of a folder"):
        Folder(f"{server}/none")


def test_an_address_that_does_not_answer_any_more_is_no_bad_image(tmp_path, monkeypatch):
    url = at_address(tmp_path, "memory")
    source, record = Folder(url), tmp_path / "bad.txt"
    bad = BadImages(str(record), source.size, root=source.root)
    name = source.describe(tf.constant(3)).numpy()
    assert bad.report([name]) == 1  # it answers: the picture is bad
    assert BadImages(str(record), source.size, root=source.root).names == []  # and is looked at again

    def away(path):
        raise ConnectionError(f"no answer of {path}")

    monkeypatch.setattr(remote, "read", away)
    with pytest.raises(UserError, match=re.escape(f"{name.decode()}: is gone, or empty, while")):
        bad.report([name])


def test_an_archive_that_is_removed_is_still_read(tmp_path):
    source = Folder(zipped(tmp_path / "a.zip"))
    shutil.os.remove(tmp_path / "a.zip")
    assert contents(source)[0] == (CONTENT[NAMES[0]], "bird")


def test_an_archive_that_nobody_has_any_more_is_closed(tmp_path):
    path = zipped(tmp_path / "a.zip")
    archive = Archive(path)
    number = archive._file
    assert os.fstat(number).st_ino == os.stat(path).st_ino
    del archive
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(number)
