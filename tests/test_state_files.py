"""Files of state: damaged ones are found, a disk that is full costs nothing, links are not followed."""

import json
import os
import types

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.bad_images import BadImages
from mocotf.errors import UserError
from mocotf.files import append
from mocotf.files import atomic_path
from mocotf.files import atomic_write
from mocotf.files import make_room
from mocotf.files import open_to_append
from mocotf.files import remove
from mocotf.image_search import index
from mocotf.image_search.partial_index import PartialIndex
from mocotf.interop import torch
from mocotf.json_files import read_json
from mocotf.json_files import write_json
from mocotf.training import pictures
from mocotf.training.flags_file import read_flags
from mocotf.training.flags_file import write_flags
from mocotf.training.metrics_file import line_of
from mocotf.training.metrics_file import read_metrics
from mocotf.training.run_dir import RunDir
from tests.training.test_checkpoints import files_limited_to

OBJECT = {"images": 6400, "head": "lr_1", "classes": ["a", "ü\udcff"], "top1": {"1": 2.5, "x": None}}
TYPES = {"images": int, "classes": list, "head": str | None, "absent": int | None}
FLAGS = {"mean": "0.1,0.2,0.3", "arch": "resnet18", "data_dir": "/a b/#c", "lr": "0.03"}
RECORDS = [
    {"step": 0, "knn_top1_pixels": 30.0, "time": 1.5},
    {"step": 200, "retry": 1, "lr_factor": 1 / 3, "time": 2.5},
    {"step": 210, "loss": float("nan"), "time": 3.5},
]
VECTORS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
INDEX = index.Index(list("abcde"), VECTORS, dict.fromkeys(sorted(index.ABOUT), "some"))
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def partial_index(folder):
    return PartialIndex(str(folder), {"weights": "x"}, 4)


def write_unfinished(path):
    unfinished = partial_index(path.parent)
    unfinished.add(INDEX.names, VECTORS, 5)
    unfinished.commit()


def taken_up(path):
    """Returns what is taken up of an unfinished index; nothing where it is begun anew."""
    unfinished = partial_index(path.parent)
    names, vectors = unfinished.result()
    assert unfinished.seen == len(names) == len(vectors)
    return names, np.array(vectors)


def place(folder):
    """Returns as much of a `RunDir` as pictures need."""
    return types.SimpleNamespace(file=lambda name: str(folder / name))


def an_index(path):
    found = index.read_index(str(path))
    return found.names, found.about, found.vectors


# What is read: name → (write to a path, read from it).
JSON = lambda path: write_json(path, OBJECT), lambda path: read_json(path, TYPES)
UNFINISHED = write_unfinished, taken_up
FILES = {
    "facts.json": JSON,
    "flags.cfg": (lambda path: write_flags(path, FLAGS), read_flags),
    "metrics.jsonl": (lambda path: path.write_bytes(b"".join(map(line_of, RECORDS))), read_metrics),
    "v.npz": (lambda path: index.write_index(str(path), INDEX), an_index),
    "v.parquet": (lambda path: index.write_index(str(path), INDEX), an_index),
    "v.unfinished/progress.json": UNFINISHED,
    "v.unfinished/names": UNFINISHED,
    "v.unfinished/vectors": UNFINISHED,
    "bad_images.txt": (
        lambda path: BadImages(str(path)).report(np.array([b"a.jpg", b"b.jpg", "ü.jpg".encode()])),
        lambda path: BadImages(str(path)).names,
    ),
    "pictures/views-3.jpg": (
        lambda path: pictures.keep_picture(place(path.parents[1]), "views", 3, PICTURE),
        lambda path: [picture.tag for picture in pictures.summaries(place(path.parents[1]), 3)],
    ),
}
BITS = 40  # that are flipped at most, one at a time; all, where there are no more


def damages(content):
    """Yields what may have become of a file's content."""
    rng = np.random.default_rng(0)
    yield b""
    yield from (content[: len(content) * part // 7] for part in range(1, 7))
    yield from (content[:-1], b"\0" * len(content))
    yield b"\xff\xfe\xfa" + content
    yield b"[" * 100_000 + b"]" * 100_000 + b"\n"
    yield from (b"[]", b"null\n", b'{"images": "many", "step": "x"}\n', b'{"digest": null}\n')
    for bit in rng.permutation(8 * len(content))[:BITS].tolist():
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def read(reader, path):
    """Returns what a reader makes of a file; None where it says in one line that it cannot."""
    try:
        return reader(path)
    except UserError as error:
        assert "\n" not in str(error) and str(path.parent) in str(error)
        return None


def is_right(name, found, expected, said):
    """Returns whether nothing was found but what was written; less where it was `said` in a warning."""
    if name == "bad_images.txt":  # no more is promised than names
        return isinstance(found, list)
    if str(found) == str(expected):
        return True
    if name.startswith("v.unfinished"):
        found = found[0]
    left = iter(map(str, expected))
    return said and all(str(one) in left for one in found)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_found_or_does_not_matter(tmp_path, name, caplog):
    write, reader = FILES[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    write(path)
    content, expected = path.read_bytes(), reader(path)
    beside = {other: other.read_bytes() for other in path.parent.iterdir() if other.is_file()}
    caplog.clear()
    for damaged in damages(content):
        for other, there in beside.items():  # what is begun anew is gone
            other.write_bytes(there)
        path.write_bytes(damaged)
        found = read(reader, path)
        said = bool(caplog.messages) or content.startswith(damaged)  # as of a run that was killed
        caplog.clear()
        assert found is None or is_right(name, found, expected, said), damaged
    for put_there in (
        path.mkdir,
        lambda: path.symlink_to(tmp_path),
        lambda: path.symlink_to("nowhere"),
    ):
        remove(path)
        put_there()
        found = read(reader, path)
        assert not found or not found[0]  # as of a file that is not there


def test_of_old_files_without_a_digest_the_kind_of_each_value_is_looked_at(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(OBJECT))
    assert read_json(path, TYPES) == OBJECT
    for odd in ({"images": "6"}, {"classes": None}, {"head": 1}, {"absent": "there"}):
        path.write_text(json.dumps(OBJECT | odd))
        with pytest.raises(UserError, match="its '(images|classes|head|absent)' is .*once more"):
            read_json(path, TYPES)


def test_a_damaged_line_that_may_have_noted_a_retry_is_not_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [line_of(record) for record in RECORDS]
    path.write_bytes(lines[0] + lines[1].replace(b"0.3", b"0.4") + lines[2])
    assert [record["step"] for record in read_metrics(path)] == [0, 210]
    with pytest.raises(UserError, match=r"line 2: is damaged, and may have noted a retry"):
        read_metrics(path, whole=True)


def write_torch(path):
    torch.write_file({"weights": pytest.importorskip("torch").zeros(10_000)}, str(path))


def save_variables(path):
    with atomic_path(str(path)) as partial:
        tf.raw_ops.SaveV2(
            prefix=partial, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.zeros([10_000])]
        )


def embed_some(path):
    unfinished = partial_index(path)
    unfinished.add(["a"] * 2000, np.zeros([2000, 4], np.float32), 2000)


def note_bad_images(path):
    bad = BadImages(str(path))
    try:
        bad.report(np.array([b"%0200d" % i for i in range(50)]))
    finally:
        assert "make room" in bad.stopped and not bad.names


LARGE = index.Index(["a"] * 2000, np.tile(VECTORS, (400, 1)), INDEX.about)
WRITERS = {
    "results.json": lambda path: write_json(path, {"top1": [1] * 4000}),
    "report.html": lambda path: atomic_write(path, "x" * 10_000),
    "run": lambda path: RunDir(str(path), [], {"many": [1] * 4000}),
    "bad_images.txt": note_bad_images,
    "v.npz": lambda path: index.write_index(str(path), LARGE),
    "v.parquet": lambda path: index.write_index(str(path), LARGE),
    "v.unfinished": embed_some,
    "merged": lambda path: make_room(path, 10_000),
    "checkpoint.pth": write_torch,
    "saved_model": save_variables,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_in_one_line(tmp_path, name):
    if name in ("results.json", "report.html", "v.npz"):
        (tmp_path / name).write_text("the last good state")
    with files_limited_to(1000), pytest.raises(UserError) as error:
        WRITERS[name](tmp_path / name)
    said = r"^/\S*" + name + r"\S*: cannot be written: File too large; make room, then the same command"
    assert error.match(said) and "\n" not in str(error.value)
    assert not any("partial" in file for _, _, files in os.walk(tmp_path) for file in files)
    if (tmp_path / name).is_file() and name != "bad_images.txt":
        assert (tmp_path / name).read_text() == "the last good state"


def test_no_writer_follows_a_link(tmp_path):
    other, link = tmp_path / "other", tmp_path / "link"
    other.write_text("precious")
    link.symlink_to(other)
    with pytest.raises(UserError, match="is a link; expected a file of this folder; remove it"):
        BadImages(str(link), root=str(tmp_path)).report(np.array([b"a.jpg"]))
    make_room(link, 5)
    assert not link.is_symlink() and other.read_text() == "precious"
    folder = tmp_path / "v.unfinished"
    folder.symlink_to(tmp_path)
    with pytest.raises(UserError, match="is a link; expected a folder of its own"):
        partial_index(folder)
    folder.unlink()
    folder.mkdir()
    (folder / "vectors").symlink_to(other)
    write_unfinished(folder / "names")
    assert other.read_text() == "precious" and not (folder / "vectors").is_symlink()
    with open_to_append(str(folder / "names")) as file:
        append(file, b"more")
    assert (folder / "names").read_bytes() == b"a\0b\0c\0d\0e\0more"
