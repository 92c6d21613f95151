"""The program that makes folders of real pictures, the same each time."""

import os
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from mocotf.data.settings import DataSettings
from mocotf.data.settings import PairSettings
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.open import open_source
from mocotf.data.sources.patches import Patches
from mocotf.errors import UserError
from tests import processes
from tools.pictures import archive
from tools.pictures import debian
from tools.pictures import walks
from tools.pictures.place_flags import ROOT
from tools.pictures.registry import COLLECTIONS
from tools.pictures.registry import Places
from tools.pictures.registry import make

ZIP = os.path.join(ROOT, "..", "shared", "data", "cifar10.zip")


def written(folder):
    """Returns name → content of the files below a folder."""
    paths = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def pictures_zip(tmp_path):
    """A zip of 12 files in each of train/cat, train/dog and test/cat, written in no order."""
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as file:
        for i in (*range(11, 5, -1), *range(6)):
            for folder in ("test/cat", "train/dog", "train/cat"):
                file.writestr(f"{folder}/{i:02}.jpg", f"{folder} {i}")
    return str(path)


def test_of_a_zip_the_first_files_by_name_are_taken(pictures_zip):
    def taken(*arguments):
        return {name: list(found) for name, found in archive.slices(pictures_zip, *arguments)}

    assert taken(None, 0, 3) == {
        label: [f"train/{label} {i}".encode() for i in range(3)] for label in ("cat", "dog")
    }
    assert taken(["dog"], 9, 12) == {"dog": [f"train/dog {i}".encode() for i in (9, 10, 11)]}
    assert taken(["cat"], 0, 1, "test") == {"cat": [b"test/cat 0"]}
    with pytest.raises(UserError, match="12 files in train/dog; expected 13 or more"):
        taken(["dog"], 3, 13)
    with pytest.raises(UserError, match="0 files in train/cow"):
        taken(["cow"], 0, 1)
    with pytest.raises(UserError, match="--zip=nowhere.zip: no such file; expected a zip of train/"):
        list(archive.slices("nowhere.zip", None, 0, 1))


def test_a_folder_is_made_whole_or_not_at_all_and_then_kept(tmp_path):
    folder, places = tmp_path / "new" / "photos", Places("", str(tmp_path))
    (tmp_path / "usr/share/wallpapers").mkdir(parents=True)
    with pytest.raises(UserError, match="Autumn"):  # which is not in it
        make("photos", str(folder), places)
    assert list((tmp_path / "new").iterdir()) == []
    (folder / "b").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "b" / "mine.png")
    before = written(folder)
    found = make("photos", str(folder), places)
    assert written(folder) == before and (found["pictures"], found["classes"]) == (1, 0)
    with pytest.raises(UserError, match="mine: no such collection; expected one of cifar10, "):
        make("mine", str(tmp_path / "mine"), places)


def test_clip_art_is_on_white_small_and_each_drawing_once(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "CLIP_ART", {"birds": "animals/birds", "food": "food"})
    birds, food = (tmp_path / "usr/share/openclipart/png" / name for name in ("animals/birds", "food"))
    birds.mkdir(parents=True)
    food.mkdir()
    ring = Image.new("RGBA", (256, 200), (0, 0, 0, 0))
    ring.paste((200, 0, 0, 255), (64, 50, 192, 150))
    ring.save(birds / "b.png")
    ring.save(birds / "c.png", compress_level=1)  # other bytes, the same drawing
    ring.save(food / "a.png")  # and in another class
    Image.new("P", (60, 50), 3).save(birds / "a.png")
    Image.new("RGB", (40, 60)).save(birds / "icon.png")
    Image.new("RGB", (500, 100)).save(birds / "slim.png")
    (food / "link.png").symlink_to(birds / "a.png")
    Image.new("L", (50, 50), 128).save(food / "z.png")
    found = {name: list(drawings) for name, drawings in debian.clip_art(str(tmp_path))}
    assert {name: len(drawings) for name, drawings in found.items()} == {"birds": 2, "food": 1}
    (tmp_path / "ring.png").write_bytes(found["birds"][1])
    with Image.open(tmp_path / "ring.png") as image:
        assert (image.mode, image.size) == ("RGB", (128, 100))
        assert [image.getpixel(at) for at in ((2, 2), (64, 50))] == [(255, 255, 255), (200, 0, 0)]
    monkeypatch.setattr(debian, "MOST_OF_A_CLASS", 1)
    assert [len(list(drawings)) for _, drawings in debian.clip_art(str(tmp_path))] == [1, 1]


def test_no_pixel_of_a_photograph_is_in_two_pictures(tmp_path):
    folder = tmp_path / "usr/share/wallpapers/Path/contents/images"
    folder.mkdir(parents=True)
    values = np.arange(40, dtype=np.uint8).reshape(5, 8) * 6  # of the tiles, each of one gray
    image = Image.fromarray(values).resize((2560, 1600), Image.Resampling.NEAREST)
    image.save(folder / "2560x1600.jpg", quality=95)
    found = dict(debian.photographs(str(tmp_path), ["Path"]))
    assert found == dict(debian.photographs(str(tmp_path), ["Path"]))
    grays = {}
    for split, contents in found.items():
        for content in contents:
            (tmp_path / "tile.jpg").write_bytes(content)
            with Image.open(tmp_path / "tile.jpg") as tile:
                assert tile.size == (240, 240)
                grays.setdefault(split, []).append(round(float(np.median(tile)) / 6))
    assert {split: len(own) for split, own in grays.items()} == {"train/Path": 24, "test/Path": 16}
    assert sorted(grays["train/Path"] + grays["test/Path"]) == list(range(40))
    assert grays["train/Path"] != sorted(grays["train/Path"])  # by chance


def test_embedded_patches_are_files_of_the_same_classes(tmp_path):
    folder = tmp_path / "patches"
    found = make("patches", str(folder), None, most=2)
    assert (found["pictures"], found["queries"], found["classes"]) == (28, 28, 14)
    source, folder_source = Patches(), Folder(str(folder))
    assert folder_source.class_names == tuple(sorted(source.class_names))
    for part, split in (("train", "bank"), ("test", "queries")):
        handles = [h for h, label in source.evaluation(split).as_numpy_iterator() if label == 3][:2]
        for number, handle in enumerate(handles):
            with Image.open(folder / part / source.class_names[3] / f"{number:04}.png") as image:
                np.testing.assert_array_equal(np.asarray(image), source.load(handle))


def test_digits_are_scikit_learns_and_in_either_half_once(tmp_path):
    folder = tmp_path / "digits"
    found = make("digits", str(folder), None)
    assert (found["pictures"], found["queries"], found["classes"]) == (898, 899, 10)
    images, labels = load_digits(return_X_y=True)
    for part, own in (("train", slice(0, 898)), ("test", slice(898, None))):
        threes = images[own][labels[own] == 3].reshape(-1, 8, 8)
        paths = sorted((folder / part / "3").iterdir())
        assert len(paths) == len(threes)
        for path, three in zip(paths, threes, strict=True):
            with Image.open(path) as image:
                assert image.size == (32, 32)
                small = np.asarray(image.resize((8, 8), Image.Resampling.BOX)) * (16 / 255)
            assert np.abs(small - three).mean() < 1


def test_walks_are_sequences_of_frames_that_differ_a_little(tmp_path, monkeypatch):
    monkeypatch.setattr(walks, "PHOTOGRAPHS", ["coffee.png", "page.png"])
    monkeypatch.setattr(walks, "TRAINED_ON", 3)
    monkeypatch.setattr(walks, "HELD_OUT", 2)
    folder = tmp_path / "walks"
    found = make("walks", str(folder), None)
    assert (found["pictures"], found["queries"], found["classes"]) == (2 * 3 * 12, 2 * 2 * 12, 2)
    frames = np.array([np.asarray(image) for image in map(Image.open, sorted(folder.rglob("*.png")))])
    assert frames.shape == (120, 32, 32, 3) and len({frame.tobytes() for frame in frames}) == 120
    frames = frames.reshape(10, 12, -1).astype(float)
    steps = np.abs(np.diff(frames, axis=1)).mean(axis=(1, 2))
    assert (steps < np.abs(frames[:, 0] - frames[:, -1]).mean(axis=1)).all()
    pairs = PairSettings(positives="group", group_by="folder")
    source = open_source(DataSettings("folder", str(folder)), pairs)
    assert source.groups.found() == "6 groups"


@pytest.mark.skipif(not os.path.exists(ZIP), reason="no ../shared/data/cifar10.zip")
def test_collections_of_cifar10_are_of_different_pictures(tmp_path):
    first, other = (tmp_path / name for name in ("cifar10_10x500", "cifar10_4x250"))
    facts = [make(folder.name, str(folder), Places(ZIP, ""), most=20) for folder in (first, other)]
    assert [(one["pictures"], one["queries"], one["classes"]) for one in facts] == [
        (200, 20, 10),
        (80, 8, 4),
    ]
    assert not set(written(first).values()) & set(written(other).values())
    again = make(first.name, str(tmp_path / "again"), Places(ZIP, ""), most=20)
    assert again["sha256"] == facts[0]["sha256"] != facts[1]["sha256"]


def test_the_program_lists_collections_and_tells_what_is_missing(tmp_path):
    listed = processes.succeed("tools/make_collection.py").out.splitlines()
    assert [line.split()[0] for line in listed] == list(COLLECTIONS)
    for arguments, message in (
        (["patches"], "expected NAME FOLDER"),
        (["clipart", tmp_path / "a", f"--packages={tmp_path}"], "expected Debian's openclipart-png"),
        (["cifar10_4x250", tmp_path / "a", f"--zip={tmp_path}/no.zip"], "no.zip: no such file"),
    ):
        processes.refuse("tools/make_collection.py", arguments, message)
