"""Folders of images: what is found, which parts evaluation reads, what a mistake is told."""

import contextlib
import os

import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.places import survey
from mocotf.data.places.directory import list_images
from mocotf.data.sources import classified
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.views.other_formats import ORIENTATION
from mocotf.errors import UserError


def touch(root, *names):
    """Makes files that hold their own names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def found(root):
    return [os.path.relpath(path, root) for path in list_images(root)]


def part(source, name, root):
    """Returns {file: label} of an evaluation part."""
    return {
        os.path.relpath(source.describe(handle).numpy().decode(), root): int(label)
        for handle, label in source.evaluation(name)
    }


def test_images_of_all_formats_are_found_in_subfolders(tmp_path):
    touch(tmp_path, "b.jpg", "a.JPEG", "x/y/z/c.Png", "x/d.bmp", "x/e.gif", "x/f.webp", "x/g.TIFF")
    touch(tmp_path, "notes.txt", "jpg", "x/f.jpg.bak", "x/g.nef")
    pictures = ["a.JPEG", "b.jpg", "x/d.bmp", "x/e.gif", "x/f.webp", "x/g.TIFF", "x/y/z/c.Png"]
    assert found(tmp_path) == pictures


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{folder}/{i}.png" for folder in "dbca" for i in (3, 1, 2)))
    expected = [f"{folder}/{i}.png" for folder in "abcd" for i in (1, 2, 3)]
    assert found(tmp_path) == expected
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: contextlib.nullcontext([*scandir(path)][::-1]))
    assert found(tmp_path) == expected


def test_symlinked_folders_are_followed_once_and_loops_end(tmp_path):
    touch(tmp_path, "photos/a.png", "photos/sub/b.png", "elsewhere/c.png")
    photos = tmp_path / "photos"
    (photos / "loop").symlink_to(photos, target_is_directory=True)
    (photos / "sub" / "up").symlink_to(photos, target_is_directory=True)
    (photos / "away").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (photos / "away_again").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert sorted(found(photos)) == ["a.png", "away/c.png", "sub/b.png"]


def test_unlabelled_images_are_trained_on_and_not_evaluated(tmp_path):
    touch(tmp_path, *(f"{i}.png" for i in range(7)))
    source = Folder(str(tmp_path))
    assert source.size == 7 and source.shape is None
    assert source.evaluation_sizes == (0, 0)
    assert part(source, "bank", tmp_path) == part(source, "queries", tmp_path) == {}
    assert source.load(3).numpy() == b"3.png"
    assert source.describe(3).numpy() == os.fsencode(tmp_path / "3.png")


def test_one_class_is_as_good_as_none(tmp_path):
    touch(tmp_path, *(f"only/{i}.png" for i in range(20)))
    source = Folder(str(tmp_path))
    assert source.evaluation_sizes == (0, 0) and source.class_names == ()


def test_every_tenth_image_is_a_query_where_there_is_no_split(tmp_path):
    names = [f"{label}/{sub}/{i}.png" for label in ("cat", "dog") for sub in "uv" for i in range(9)]
    touch(tmp_path, *names)
    source = Folder(str(tmp_path))
    assert source.size == 36  # all are trained on
    assert source.evaluation_sizes == (32, 4) and source.class_names == ("cat", "dog")
    queries = part(source, "queries", tmp_path)
    bank = part(source, "bank", tmp_path)
    assert list(queries) == names[::10]
    assert list(bank) == [name for name in names if name not in queries]
    assert source.evaluation("bank").element_spec[1].dtype == tf.int64
    for name, label in [*queries.items(), *bank.items()]:
        assert label == ["cat", "dog"].index(name.split("/")[0])


def test_images_beside_the_class_folders_have_no_label(tmp_path):
    touch(tmp_path, *(f"{i}.png" for i in range(5)), *(f"{c}/{i}.png" for c in "ab" for i in range(10)))
    source = Folder(str(tmp_path))
    assert source.size == 25
    both = part(source, "bank", tmp_path) | part(source, "queries", tmp_path)
    assert sorted(both) == [f"{c}/{i}.png" for c in "ab" for i in range(10)]


@pytest.mark.parametrize(
    ("training", "held_out"),
    [("train", "val"), ("Train", "validation"), ("train", "test"), ("training", "Valid")],
)
def test_train_and_held_out_folders_are_the_parts(tmp_path, training, held_out):
    train = [f"{training}/{label}/{i}.png" for label in "ab" for i in range(11)]
    queries = [f"{held_out}/{label}/{i}.png" for label in "ab" for i in range(3)]
    touch(tmp_path, *train, *queries, "other/c/0.png")
    source = Folder(str(tmp_path))
    assert source.size == 22 and source.evaluation_sizes == (22, 6) and source.unused == ("other",)
    for name, files in (("bank", train), ("queries", queries)):
        assert part(source, name, tmp_path) == {f: "ab".index(f.split("/")[1]) for f in files}
    drawn = [int(handle) for _, handle in source.draw(Order(0, 22, 1)).take(22)]
    assert sorted(drawn) == list(range(22))  # no query is trained on


def test_the_folders_of_tfds_image_folder_are_read(tmp_path):
    builder = pytest.importorskip("tensorflow_datasets").ImageFolder
    for half in ("train", "validation"):
        touch(tmp_path, *(f"{half}/{label}/{i}.jpg" for label in "ab" for i in range(4)))
    splits = {name: split.num_examples for name, split in builder(str(tmp_path)).info.splits.items()}
    assert splits == {"train": 8, "validation": 8}
    source = Folder(str(tmp_path))
    assert source.size == 8 and source.evaluation_sizes == (8, 8)


def test_classes_of_both_parts_are_numbered_together(tmp_path):
    touch(tmp_path, "train/b/0.png", "train/d/0.png", "val/a/0.png", "val/d/0.png", "val/1.png")
    source = Folder(str(tmp_path))
    assert part(source, "bank", tmp_path) == {"train/b/0.png": 1, "train/d/0.png": 2}
    assert part(source, "queries", tmp_path) == {"val/a/0.png": 0, "val/d/0.png": 2}
    assert source.evaluation_sizes == (2, 2)


def test_evaluation_looks_through_more_images_than_at_once(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{label}/{i:02}.png" for label in "ab" for i in range(35)))
    expected = [part(Folder(str(tmp_path)), name, tmp_path) for name in ("bank", "queries")]
    monkeypatch.setattr(classified, "AT_ONCE", 8)
    assert [part(Folder(str(tmp_path)), name, tmp_path) for name in ("bank", "queries")] == expected


def test_a_train_folder_beside_others_is_a_class(tmp_path):
    touch(tmp_path, *(f"{label}/{i}.png" for label in ("train", "bus") for i in range(10)))
    assert set(part(Folder(str(tmp_path)), "bank", tmp_path).values()) == {0, 1}


@pytest.mark.parametrize("above", ["train", "photos/photos", ".hidden/train"])
def test_a_folder_within_a_folder_is_that_folder(tmp_path, above):
    touch(tmp_path, *(f"{above}/{label}/{i}.png" for label in "ab" for i in range(10)))
    source = Folder(str(tmp_path / ".hidden") if above.startswith(".") else str(tmp_path))
    assert source.class_names == ("a", "b") and source.evaluation_sizes == (18, 2)


def test_a_link_beside_a_folder_whose_name_begins_alike_is_followed(tmp_path):
    touch(
        tmp_path,
        *(f"d/photos/{part}/{i}.png" for part in ("train/a", "train/b", "val/a") for i in range(9)),
    )
    (tmp_path / "d" / "photos2").mkdir()
    (tmp_path / "d" / "photos2" / "current").symlink_to(tmp_path / "d" / "photos")
    source = Folder(str(tmp_path / "d" / "photos2"))
    assert source.class_names == ("a", "b") and source.evaluation_sizes == (18, 9)


def test_a_folder_that_holds_only_itself_has_no_images(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    with pytest.raises(UserError, match="no images found"):
        Folder(str(tmp_path / "a"))


def test_held_out_images_without_classes_are_neither_trained_on_nor_asked_about(tmp_path):
    touch(tmp_path, *(f"train/{label}/{i}.png" for label in "ab" for i in range(10)), "test/0.png")
    source = Folder(str(tmp_path))
    assert source.size == 20 and source.evaluation_sizes == (18, 2) and source.unused == ("test",)
    touch(tmp_path, "val/a/0.png")
    source = Folder(str(tmp_path))
    assert source.evaluation_sizes == (20, 1) and source.unused == ("test",)


def test_what_is_hidden_or_no_picture_is_left_out_and_counted(tmp_path):
    touch(tmp_path, "a/0.png", "b/0.png", "a/._0.png", ".thumbnails/0.png", "__MACOSX/a/0.png")
    touch(tmp_path, "a/@eaDir/0.png", "notes.txt", "a/0.NEF", "a/README")
    heads = {
        "a/1.jfif": b"\xff\xd8\xff\xe0", "a/2": b"\x89PNG\r\n\x1a\n", "a/3.tmp": b"RIFF0000WEBP",
        "b/4.wav": b"RIFF0000WAVE", "b/5": b"BM" + bytes(12) + b"\x28\0\0\0",
        "b/6": b"BM: a note, long",
    }  # fmt: skip
    for name, head in heads.items():
        (tmp_path / name).write_bytes(head)
    for name in ("pipe", "pipe.jpg"):
        os.mkfifo(tmp_path / "b" / name)
    source = Folder(str(tmp_path))
    names = {
        os.path.relpath(os.fsdecode(source.describe(i).numpy()), tmp_path) for i in range(source.size)
    }
    assert names == {"a/0.png", "b/0.png", "a/1.jfif", "a/2", "a/3.tmp", "b/5"}
    assert source.class_names == ("a", "b")
    assert str(source.left_out) == (
        "left out: 4 hidden, 5 that are no pictures to be read (2 without an ending, 1 .txt, 1 .nef, …)"
        ", 2 that are no files, as pipes"
    )


def picture(path, format, rotated=False):
    """Writes a picture, one that EXIF says is to be turned."""
    image, exif = Image.new("RGB", (4, 4)), Image.Exif()
    exif[ORIENTATION] = 6 if rotated else 1
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format, exif=exif)


def test_links_to_nothing_are_told_of_where_they_are_read(tmp_path):
    touch(tmp_path, "a/0.png")
    (tmp_path / "a" / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "a" / "circle.jpg").symlink_to("circle.jpg")
    source = Folder(str(tmp_path))
    assert source.size == 3 and not str(source.left_out)


def test_what_was_found_is_a_line(tmp_path, monkeypatch):
    for i in range(10):
        picture(tmp_path / "a" / f"{i}.jpg", "JPEG", rotated=i < 4)
        picture(tmp_path / "b" / f"{i}.jpg", "PNG" if i < 2 else "JPEG")
    assert Folder(str(tmp_path)).found() == (
        "20 images (90 % JPEG, 10 % PNG, 4×4), 2 classes, kNN asks about 2 of them; 20 % "
        "rotated by EXIF, used as they are stored"
    )
    (tmp_path / "a" / "0.jpg").write_text("no picture")
    touch(tmp_path, "a/notes.txt")
    assert "5 % unknown, 4×4), 2 classes" in Folder(str(tmp_path)).found()
    assert "; left out: 1 that are no pictures to be read (1 .txt); " in Folder(str(tmp_path)).found()
    monkeypatch.setattr(survey, "SAMPLE", 10)
    assert "(≈ " in Folder(str(tmp_path)).found() and "; ≈ " in Folder(str(tmp_path)).found()
    (tmp_path / "a").rename(tmp_path / "train")
    touch(tmp_path, "test/0.jpg", "extra/c/0.jpg", "train/b/0.jpg", "val/a/0.jpg", "val/b/0.jpg")
    found = Folder(str(tmp_path)).found()
    assert "2 held out; not used: b, extra, test" in found and "\n" not in found


def test_a_digest_is_of_names_and_sizes_wherever_they_lie(tmp_path):
    for place in ("here", "there"):
        touch(tmp_path / place, *(f"{label}/{i}.png" for label in "ab" for i in range(3)))
    known = Folder(str(tmp_path / "here")).digest()
    assert Folder(str(tmp_path / "there")).digest() == known
    (tmp_path / "there/a/0.png").write_text("more than there was")
    assert Folder(str(tmp_path / "there")).digest() != known
    (tmp_path / "here/a/0.png").rename(tmp_path / "here/a/3.png")
    assert Folder(str(tmp_path / "here")).digest() != known


def test_names_may_hold_any_byte(tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xe9.jpg"
    with open(name, "wb") as file:
        file.write(b"pixels")
    source = Folder(str(tmp_path))
    assert source.load(0).numpy() == b"pixels" and source.describe(0).numpy() == name


def test_a_missing_folder_is_told(tmp_path):
    touch(tmp_path, "file.png")
    for name in ("nowhere", "file.png"):
        with pytest.raises(UserError, match=f"--data_dir=.*{name}: no such folder; expected a folder"):
            Folder(str(tmp_path / name))


def test_a_folder_without_images_is_told(tmp_path):
    touch(tmp_path, "notes.txt", "sub/page.html")
    with pytest.raises(
        UserError, match="no images found; expected JPEG, .*; left out: 2 that"
    ) as error:
        Folder(str(tmp_path))
    assert "\n" not in str(error.value)
