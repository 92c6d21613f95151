"""Tables of pictures: Parquet files and saved data sets, their columns, parts, labels and bad rows."""

import io
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.contents import read_contents
from mocotf.data.pretraining import centre_views
from mocotf.data.sources.base import Order
from mocotf.data.sources.folder import Folder
from mocotf.data.sources.hugging_face import HuggingFace
from mocotf.data.views.augmentations import v1
from mocotf.data.views.decode import decode
from mocotf.errors import UserError
from tests.data.support import drawn

datasets = pytest.importorskip("datasets")
NAMES = ("cat", "dog")
FEATURES = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(NAMES)))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(path))
    return path


@pytest.fixture
def place(tmp_path):
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def png(level):
    """Returns the file of a picture of 8 × 8 pixels of one level."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(file, "PNG")
    return file.getvalue()


def cells(levels):
    """Returns what Hugging Face keeps of pictures of such levels."""
    return [{"bytes": png(level), "path": f"{level}.png"} for level in levels]


def table(levels, labels=None, features=FEATURES):
    """Returns a table as the hub has them; labels are levels modulo 2 if none are given."""
    labels = [level % 2 for level in levels] if labels is None else labels
    schema = features.arrow_schema
    return pa.table({"image": cells(levels), "label": labels}, schema=schema)


def write(path, columns, **options):
    """Writes a Parquet file of a table, or of columns by name; returns its path as a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
    return str(path)


def level_of(source, handle):
    return int(decode(source.load(handle))[0, 0, 0])


def levels(source, split):
    """Returns (level, label) of an evaluation part, in order."""
    return [(level_of(source, handle), int(label)) for handle, label in source.evaluation(split)]


def own(numbers):
    return [(level, level % 2) for level in numbers]


def test_a_file_is_read_row_by_row(place):
    path = write(place / "a.parquet", table(range(25)), row_group_size=4)
    source = HuggingFace(path)
    assert (source.name, source.size, source.shape, source.class_names) == ("hf", 25, None, NAMES)
    assert [level_of(source, row) for row in range(25)] == list(range(25))
    assert source.load(3).numpy() == png(3) and source.describe(3).numpy() == f"{path}#3".encode()
    assert source.label(3).numpy() == 1 and source.evaluation_sizes == (22, 3)
    assert levels(source, "queries") == own([0, 10, 20])
    assert levels(source, "bank") == own(row for row in range(25) if row % 10)
    assert source.found() == (
        "25 images (100 % PNG, 8×8), 2 classes, kNN asks about 3 of them; of columns image, label"
    )


@pytest.mark.parametrize(
    ("training", "held_out"),
    [
        (("data/train-00000-of-00002", "data/train-00001-of-00002"), "data/validation-00000-of-00001"),
        (("train/0000", "train/0001"), "test/0000"),
        (("digits_train_a", "digits_train_b"), "digits_dev"),
        (("part-0", "part-1"), "eval"),
    ],
)
def test_folders_as_the_hub_has_them(place, training, held_out):
    for name, numbers in zip(training, (range(6), range(6, 10)), strict=True):
        write(place / f"{name}.parquet", table(numbers))
    write(place / f"{training[0]}-0.parquet", table([]))
    path = write(place / f"{held_out}.parquet", table(range(100, 103)))
    source = HuggingFace(str(place))
    assert source.size == 10 and source.evaluation_sizes == (10, 3) and source.unused == []
    assert levels(source, "bank") == own(range(10))
    assert levels(source, "queries") == own(range(100, 103))
    assert source.describe(7).numpy().decode() == f"{place}/{training[1]}.parquet#1"
    assert source.describe(12).numpy().decode() == f"{path}#2"
    assert "10 images (100 % PNG, 8×8), 2 classes, 3 held out" in source.found()


def test_a_pattern_is_trained_on_altogether(place):
    for name, numbers in (("train-0", range(4)), ("test-0", range(4, 8)), ("[t].parquet/0", range(3))):
        write(place / f"{name}.parquet", table(numbers))
    assert HuggingFace(f"{place}/[t].parquet").size == 3
    assert HuggingFace(str(place)).unused == ["others"]
    source = HuggingFace(f"{place}/t*.parquet")
    assert source.size == 8 and source.evaluation_sizes == (7, 1)


def test_parts_without_labels_or_of_other_columns_are_not_used(place):
    write(place / "train.parquet", table(range(10)))
    write(place / "val.parquet", table(range(2), [None, -1]))
    write(place / "test.parquet", {"image": cells(range(2))})
    write(place / "unsupervised.parquet", {"image": cells(range(2))})
    source = HuggingFace(str(place))
    assert source.evaluation_sizes == (9, 1) and source.unused == ["others", "val", "test"]
    assert "; not used: others, val, test" in source.found()
    write(place / "dev.parquet", table(range(20, 23)))
    assert HuggingFace(str(place)).evaluation_sizes == (10, 3)


def test_a_data_set_that_was_saved(place):
    whole = datasets.Dataset(table(range(20))).select(range(3, 15))  # another order than in the file
    whole.save_to_disk(str(place / "one"), num_shards=3)
    source = HuggingFace(str(place / "one"))
    assert source.size == 12 and source.class_names == NAMES
    assert [level_of(source, row) for row in range(12)] == list(range(3, 15))
    assert source.describe(5).numpy().decode() == f"{place}/one#5"
    test = datasets.Dataset(table(range(30, 33)))
    datasets.DatasetDict(test=test, more=test, train=whole).save_to_disk(str(place / "parts"))
    source = HuggingFace(str(place / "parts"))
    assert levels(source, "bank") == own(range(3, 15)) and levels(source, "queries") == own(
        range(30, 33)
    )
    assert source.unused == ["more"]
    assert source.describe(13).numpy().decode() == f"{place}/parts/test#1"


@pytest.mark.parametrize(
    ("labels", "classes", "places"),
    [
        ([7, 3, 7, 12, -1, None], ("3", "7", "12"), [1, 0, 1, 2, -1, -1]),
        (["fox", "ant", None, "fox", "bee", ""], ("", "ant", "bee", "fox"), [3, 1, -1, 3, 2, 0]),
        (
            pa.array(["b", "a", "b", None, "a", "a"]).dictionary_encode(),
            ("a", "b"),
            [1, 0, 1, -1, 0, 0],
        ),
        (pa.array([1, 0, 1, 0, 1, 0], pa.uint8()), ("0", "1"), [1, 0, 1, 0, 1, 0]),
        ([5, 5, 5, 5, None, 5], (), [-1] * 6),
        ([0.5] * 6, (), [-1] * 6),
    ],
)
def test_labels_are_integers_or_texts(place, labels, classes, places):
    path = write(place / "a.parquet", {"image": [png(level) for level in range(6)], "label": labels})
    source = HuggingFace(path)
    assert source.class_names == classes and [int(source.label(row)) for row in range(6)] == places
    assert sum(source.evaluation_sizes) == sum(label >= 0 for label in places)


def test_classes_of_both_parts_are_numbered_together(place):
    for name, labels in (("train", ["b", "d"]), ("test", ["a", "d"])):
        write(place / f"{name}.parquet", {"image": cells(range(2)), "label": labels})
    source = HuggingFace(str(place))
    assert source.class_names == ("a", "b", "d")
    assert levels(source, "bank") == [(0, 1), (1, 2)] and levels(source, "queries") == [(0, 0), (1, 2)]


@pytest.mark.parametrize(
    ("columns", "options", "chosen"),
    [
        ({"photograph": "bytes", "n": "int"}, {}, ("photograph",)),
        ({"mask": "image", "IMG": "image", "Labels": "int"}, {}, ("IMG", "Labels")),
        ({"img": "image", "coarse_label": "class", "fine_label": "class"}, {}, ("img", "fine_label")),
        ({"image": "image", "n": "int", "breed": "class"}, {}, ("image", "breed")),
        ({"a": "image", "b": "bytes"}, {"image_column": "b"}, ("b",)),
        ({"image": "image", "n": "int"}, {"label_column": "n"}, ("image", "n")),
    ],
)  # fmt: skip
def test_columns_are_found_by_type_and_name_or_chosen(place, columns, options, chosen):
    kinds = {
        "bytes": (datasets.Value("large_binary"), [png(0), png(1)]),
        "image": (datasets.Image(), cells(range(2))),
        "int": (datasets.Value("int64"), [0, 1]),
        "class": (FEATURES["label"], [0, 1]),
    }
    features = datasets.Features({name: kinds[kind][0] for name, kind in columns.items()})
    values = {name: kinds[kind][1] for name, kind in columns.items()}
    source = HuggingFace(write(place / "a.parquet", pa.table(values, features.arrow_schema)), **options)
    assert source.columns == chosen and level_of(source, 1) == 1


def test_columns_in_doubt_are_told(place):
    two = write(place / "two.parquet", {"left": cells([0]), "right": [png(0)], "n": [1]})
    none = write(place / "none.parquet", {"n": [1], "text": ["a"]})
    for told, options in (
        (f"{two}: columns left, right may all be images; expected one; try --image_column=left", {}),
        ("--image_column=n: is no column of .*; expected left or right", {"image_column": "n"}),
        ("--label_column=x: is .*: n$", {"image_column": "left", "label_column": "x"}),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            HuggingFace(two, **options)
    with pytest.raises(UserError, match="no column of images among n, text; expected one of encoded"):
        HuggingFace(none)


def test_order_is_that_of_as_many_files(place):
    (place / "files").mkdir()
    for i in range(30):
        (place / "files" / f"{i:02}.png").write_bytes(png(i))
    files = Folder(str(place / "files"))
    source = HuggingFace(write(place / "a.parquet", {"image": cells(range(30))}))
    order = Order(5, 7, source.steps_per_epoch(7))
    steps, of_files = drawn(source, order, 9), drawn(files, order, 9)
    for step, same in zip(steps, of_files, strict=True):
        assert [key for key, _ in step] == [key for key, _ in same]
        names = [os.path.basename(name) for _, name in same]
        assert [b"%02d.png" % int(name.split(b"#")[1]) for _, name in step] == names
    assert drawn(source, order, 4, first_step=5) == steps[5:]
    assert source.evaluation_sizes == (0, 0) and list(source.evaluation("bank")) == []


def test_bad_rows_are_named_and_left_out(place):
    (place / "files").mkdir()
    (place / "files" / "4.png").write_bytes(png(4))
    images = cells(range(8))
    images[1] = None
    images[2] = {"bytes": None, "path": "gone.png"}
    images[3] = {"bytes": b"no picture", "path": None}
    images[4] = {"bytes": None, "path": "files/4.png"}
    images[5] = {"bytes": b"", "path": None}
    images[6] = {"bytes": None, "path": None}
    path = write(place / "train.parquet", table(range(8)).set_column(0, "image", pa.array(images)))
    source, bad_images = HuggingFace(path), BadImages()
    assert "12 % PNG" not in source.found() and "unknown" in source.found()
    views = centre_views(source, source.evaluation("bank"), v1(size=8), bad_images)
    assert [len(labels) for _, labels in views] == [2]
    assert sorted(bad_images.names) == [f"{path}#{row}" for row in (1, 2, 3, 5, 6)]


def test_a_digest_is_of_images_wherever_they_lie(place):
    known = HuggingFace(write(place / "here" / "a.parquet", table(range(5)))).digest()
    assert HuggingFace(write(place / "b.parquet", {"png": list(map(png, range(5)))})).digest() == known
    datasets.Dataset(table(range(5))).save_to_disk(str(place / "saved"))
    assert HuggingFace(str(place / "saved")).digest() == known
    assert HuggingFace(write(place / "c.parquet", table([0, 1, 2, 3, 5]))).digest() != known
    assert HuggingFace(write(place / "d.parquet", table(range(4)))).digest() != known


def test_a_row_that_has_changed_is_named(place):
    write(place / "data/train-0.parquet", table(range(5)))
    write(place / "data/test-0.parquet", table(range(3)))
    before = read_contents(HuggingFace(str(place)))
    write(place / "data/test-0.parquet", table([0, 1, 3]))
    now = read_contents(HuggingFace(str(place)))
    assert before.changes_to(now) == "1 of 8 files changed: data/test-0.parquet#2"


def test_a_file_that_is_written_anew_is_read_anew(place):
    path = write(place / "a.parquet", table(range(5)))
    assert level_of(HuggingFace(path), 0) == 0
    write(place / "a.parquet", table(range(5, 10)))
    os.utime(path, (1, 1))
    assert level_of(HuggingFace(path), 0) == 5


def test_many_threads_read_at_once(place):
    source = HuggingFace(write(place / "a.parquet", table(range(40)), row_group_size=3))
    rows = tf.data.Dataset.from_tensor_slices(np.tile(np.arange(40), 10))
    images = rows.map(source.load, num_parallel_calls=8).as_numpy_iterator()
    assert list(images) == [png(row) for row in range(40)] * 10


def test_what_is_no_whole_table_is_told_in_one_line(place):
    write(place / "whole.parquet", table(range(50)), compression="none")
    whole = (place / "whole.parquet").read_bytes()
    contents = {
        "cut": whole[:-50],
        "text": b"not a table",
        "empty": b"",
        "middle": bytes(999) + whole[999:],
    }
    for name, content in contents.items():
        (place / f"{name}.parquet").write_bytes(content)
    datasets.Dataset(table(range(50))).save_to_disk(str(place / "saved"))
    shard = place / "saved" / "data-00000-of-00001.arrow"
    shard.write_bytes(shard.read_bytes()[:2000])
    (place / "foreign").mkdir()
    (place / "foreign" / "state.json").write_text("{}")
    for name in (*(f"{name}.parquet" for name in contents), "saved", "foreign"):
        with pytest.raises(
            UserError, match=f"^--data_dir={place}/{name}: cannot be read: .*; exp"
        ) as error:
            HuggingFace(f"{place}/{name}")
        assert "\n" not in str(error.value)
    for name in ("foreign/sub", "nowhere"):
        os.makedirs(place / "foreign" / "sub", exist_ok=True)
        with pytest.raises(UserError, match="no table found; expected a .parquet file, a folder or"):
            HuggingFace(f"{place}/{name}")
    with pytest.raises(UserError, match="train has no rows"):
        HuggingFace(write(place / "none.parquet", table([])))


def test_without_datasets_it_is_told_in_one_line(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"--dataset=hf: .* not installed; try: .*\[hf\]"):
        HuggingFace(str(place))
