"""Boxes as they come, and what is left of the bad ones; files of COCO's format; TFDS."""

import collections
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL import ImageOps

from mocotf.data.bad_images import BadImages
from mocotf.data.sources.base import Order
from mocotf.data.views.augmentations import Augmentation
from mocotf.errors import UserError
from mocotf.transfer import coco
from mocotf.transfer import tfds_scenes
from mocotf.transfer.detection_views import Canvas
from mocotf.transfer.detection_views import measured_views
from mocotf.transfer.scenes import IndexedScenes
from mocotf.transfer.scenes import Truth
from mocotf.transfer.scenes import cutout_scenes
from tests import tiny_tfds

SIDE = 40


def truth(boxes, labels, **options):
    return Truth(boxes, labels, 30, SIDE, 2, **({"skipped": collections.Counter()} | options))


def test_bad_boxes_are_cut_or_left_out_and_counted():
    skipped = collections.Counter()
    boxes = [
        [1, 2, 5, 6],  # good
        [-4, -4, 10, 99],  # crosses the border
        [35, 2, 39, 6],  # below the image, 30 high
        [5, 5, 5, 9],  # without height
        [9, 9, 3, 12],  # upside down
        [1, 2, 5, np.nan],
        [1, 2, 5, 6],  # of no class
    ]
    found = truth(boxes, [0, 1, 0, 0, 0, 0, 2], skipped=skipped)
    np.testing.assert_array_equal(found.boxes, [[1, 2, 5, 6], [0, 0, 10, SIDE]])
    assert found.labels.tolist() == [0, 1] and found.hard.tolist() == [False, False]
    assert +skipped == {"outside the image": 1, "without area": 3, "unknown class": 1}


def test_scenes_without_any_box_or_image_are_told():
    images, none = np.zeros((2, 30, SIDE, 3), np.uint8), truth([], [])
    good = (images, [truth([[1, 2, 5, 6]], [0]), none])
    with pytest.raises(UserError, match="none of 2 training images has a box"):
        IndexedScenes("x", "ab", (images, [none, none]), good)
    crowd = truth([[1, 2, 5, 6]], [0], hard=[True])
    with pytest.raises(UserError, match="none of 2 test images has a box.*not of crowds only"):
        IndexedScenes("x", "ab", good, (images, [crowd, none]))
    with pytest.raises(UserError, match="no image to measure on"):
        IndexedScenes("x", "ab", good, (images[:0], []))


def test_a_truth_belongs_to_its_image(caplog):
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 30, SIDE, 3), np.uint8)
    truths = [truth([[1, 2, 5, 6]] * i, [i % 2] * i) for i in range(3)]
    scenes = IndexedScenes("x", "ab", (images[:2], truths[:2]), (images[2:], truths[2:]))
    for i in range(3):
        boxes, labels, _ = scenes.truth(i, None)
        assert len(boxes) == i == int(scenes.load(i)[0, 0, 0]) and set(labels.numpy()) <= {i % 2}
    assert [int(handle) for handle in scenes.tests()] == [2]
    scenes.report()
    assert "1 of 2 training images have no box" in caplog.text


def test_the_embedded_scenes():
    scenes = cutout_scenes(3, 2, 64)
    assert (scenes.size, scenes.test_size, len(scenes.class_names)) == (3, 2, 10)
    assert scenes.load(4).shape == (64, 64, 3) and not scenes.skipped
    again = cutout_scenes(5, 2, 64)  # of more images the first are the same
    np.testing.assert_array_equal(again.load(2), scenes.load(2))


def content():
    """Returns a file of two images and categories 7 and 3, with bad annotations among the good."""
    boxes = [
        (1, 3, [2, 4, 10, 6], 0),
        (1, 7, [0, 0, 5, 5], 1),
        (1, 9, [2, 4, 10, 6], 0),  # of no category
        (2, 3, [100, 4, 10, 6], 0),  # outside
        (5, 3, [2, 4, 10, 6], 0),  # of no image
    ]
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 30, "width": SIDE} for i in (1, 2)],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd}
            for i, (image, category, box, crowd) in enumerate(boxes)
        ],
    }


@pytest.fixture
def folder(tmp_path):
    for i in (1, 2):
        Image.fromarray(np.full((30, SIDE, 3), 100 * i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "train.json").write_text(json.dumps(content()))
    return tmp_path


def read(folder, name="train.json", **options):
    return coco.read(str(folder), str(folder / name), str(folder / "train.json"), **options)


def test_a_coco_file(folder, caplog):
    scenes = read(folder)
    assert scenes.class_names == ("cat", "dog") and (scenes.size, scenes.test_size) == (2, 2)
    boxes, labels, hard = (part.numpy().tolist() for part in scenes.truth(0, None))
    assert boxes == [[4, 2, 10, 12], [0, 0, 5, 5]]  # y1, x1, y2, x2
    assert labels == [0, 1] and hard == [False, True]
    assert len(scenes.truth(1, None)[0]) == 0 and scenes.describe(1).numpy().endswith(b"2.png")
    scenes.report()
    for line in ("2 boxes: unknown class", "2 boxes: outside", "2 boxes: of an image that is not"):
        assert f"skipped {line}" in caplog.text  # of both parts
    assert "1 of 2 training images have no box" in caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_coco_image_is_turned_where_only_so_it_fits_its_boxes(folder, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.random.default_rng(0).integers(0, 255, (SIDE, 30, 3), np.uint8)
    Image.fromarray(stored).save(folder / "1.png", exif=exif)
    scenes = read(folder)
    if orientation < 5:  # a picture that only fits if it lies on its side
        with pytest.raises(tf.errors.InvalidArgumentError, match="another size than its annotations"):
            scenes.load(0)
        return
    assert scenes.found() == (
        "2 training images, 2 test images (100 % PNG, 30×30 median), 2 classes; 50 % "
        "rotated by EXIF, turned where only so they have the size of their annotations"
    )
    turned = ImageOps.exif_transpose(Image.open(folder / "1.png"))
    np.testing.assert_array_equal(scenes.load(0), np.asarray(turned))
    assert scenes.load(1).shape == (30, SIDE, 3)


def test_of_a_coco_file_some_images(folder):
    with_boxes = content()
    with_boxes["annotations"][3]["bbox"] = [2, 4, 10, 6]
    (folder / "train.json").write_text(json.dumps(with_boxes))
    assert read(folder, test_images=1).test_size == 1


def box_is(value):
    return lambda c: c["annotations"][0].update(bbox=value), "is no file of COCO's format"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("categories"), "is no file of COCO's format"),
        (lambda c: c["annotations"][0].pop("bbox"), "is no file of COCO's format"),
        *map(box_is, ([1, 2, 3], [1, 2, 3, 4, 5], None, "box", [1, 2, None, 4])),
        (lambda c: c["images"][0].update(width=None), "is no file of COCO's format"),
        (lambda c: c["images"][0].update(width=float("inf")), "is no file of COCO's format"),
        (lambda c: c["images"][0].update(id=[]), "is no file of COCO's format"),
        (lambda c: c["categories"][0].update(name=5), "is no file of COCO's format"),
        (lambda c: c["categories"][0].update(id="2"), "is no file of COCO's format"),
        (lambda c: c.update(categories=[]), "has no categories"),
        (lambda c: c.update(annotations=[]), "none of 2 training images has a box"),
        (lambda c: c["categories"].pop(), "expected the same in both"),
        (lambda c: c["images"][1].update(file_name="3.png"), "1 of its 2 images are not in --data_dir"),
    ],
)
def test_a_bad_coco_file_takes_one_line(folder, change, message):
    changed = content()
    change(changed)
    (folder / "bad.json").write_text(json.dumps(changed))
    with pytest.raises(UserError, match=message) as caught:
        read(folder, "bad.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_what_is_no_json_takes_one_line(folder, text):
    if text is not None:
        (folder / "bad.json").write_text(text)
    with pytest.raises(UserError, match="expected"):
        read(folder, "bad.json")


def prepare(data_dir, features, make):
    """Prepares the data set tiny_scenes under `data_dir`; returns its folder, str."""
    splits = {"train": range(4), "validation": range(10, 14), "test": range(20, 24)}
    return str(tiny_tfds.prepare(data_dir, "tiny_scenes", features, splits, make).data_dir)


def objects(features, encoding="jpeg"):
    of_one = {
        "bbox": features.BBoxFeature(),
        "label": features.ClassLabel(names=["cat", "dog"]),
        "is_difficult": features.Tensor(shape=(), dtype=np.bool_),
    }
    image = features.Image(shape=(None, None, 3), encoding_format=encoding)
    return {"image": image, "objects": features.Sequence(of_one)}


def scene(number):
    box = np.array([0.1, 0.2, 0.5, 1.0])
    found = [{"bbox": box, "label": number % 2, "is_difficult": number % 3 == 0}] * (number % 4)
    return {"image": np.full((20, 30, 3), number, np.uint8), "objects": found}


def level(scenes, handle):
    return round(float(tf.reduce_mean(tf.cast(tf.io.decode_jpeg(scenes.load(handle)), tf.float32))))


def test_scenes_of_tfds(tmp_path):
    scenes = tfds_scenes.TFDSScenes("tfds", prepare(tmp_path, objects, scene))
    assert (scenes.size, scenes.test_size, scenes.class_names) == (8, 4, ("cat", "dog"))
    order = Order(seed=1, batch_size=4, steps_per_epoch=2)
    keys, handles = zip(*scenes.draw(order).take(8), strict=True)
    numbers = [level(scenes, handle) for handle in handles]
    assert sorted(numbers) == [0, 1, 2, 3, 10, 11, 12, 13]  # train and validation
    for number, handle in zip(numbers, handles, strict=True):
        boxes, labels, hard = scenes.truth(handle, [20, 30, 3])
        np.testing.assert_allclose(boxes, np.tile([2, 6, 10, 30], (number % 4, 1)), atol=1e-5)
        assert set(labels.numpy()) <= {number % 2} and set(hard.numpy()) <= {number % 3 == 0}
    asked, again = ([level(scenes, handle) for handle in scenes.tests()] for _ in range(2))
    assert sorted(asked) == [20, 21, 22, 23] and asked == again
    assert [int(key) for key, _ in scenes.draw(order, 1).take(4)] == [int(key) for key in keys[4:]]


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_a_test_image_of_tfds_that_does_not_decode_is_left_out(tmp_path, encoding):
    def make(number):
        return scene(number) | ({"image": b"no image"} if number == 21 else {})

    folder = prepare(tmp_path, lambda features: objects(features, encoding), make)
    scenes, bad_images = tfds_scenes.TFDSScenes("tfds", folder), BadImages()
    view = Augmentation(size=16, mean=(0.5,) * 3, std=(0.5,) * 3)
    found = list(measured_views(scenes, Canvas(32, (16,), 16), view, bad_images))
    assert len(found) == 3 and len(bad_images.names) == 1
    for _, _, size, boxes, *_ in found:
        assert size.numpy().tolist() == [20, 30]
        np.testing.assert_allclose(boxes, np.tile([2, 6, 10, 30], (len(boxes), 1)), atol=1e-5)
    assert sorted(len(boxes) for *_, boxes, _, _ in found) == [0, 2, 3]


def test_scenes_of_several_data_sets_as_voc_has_them(tmp_path, monkeypatch):
    prepare(tmp_path, objects, scene)
    parts = [("tiny_scenes", ("train",)), ("tiny_scenes:1.0.0", ("validation",))]
    monkeypatch.setitem(tfds_scenes.PARTS, "voc", (parts, ("tiny_scenes", ("test",))))
    scenes = tfds_scenes.TFDSScenes("voc", str(tmp_path))
    assert (scenes.size, scenes.test_size, scenes.hard_are_crowds) == (8, 4, False)
    drawn = scenes.draw(Order(seed=0, batch_size=8, steps_per_epoch=1)).take(8)
    numbers = sorted(level(scenes, handle) for _, handle in drawn)
    assert numbers == [0, 1, 2, 3, 10, 11, 12, 13]


def test_tfds_without_boxes_is_told(tmp_path):
    images = {"image": np.zeros((4, 4, 3), np.uint8)}
    folder = prepare(tmp_path, lambda features: {"image": features.Image()}, lambda number: images)
    with pytest.raises(UserError, match="expected image, and objects of bbox and label"):
        tfds_scenes.TFDSScenes("tfds", folder)


def test_tfds_whose_labels_have_no_names_is_told(tmp_path):
    def of_numbers(features):
        of_one = {"bbox": features.BBoxFeature(), "label": np.int64}
        return objects(features) | {"objects": features.Sequence(of_one)}

    def numbered(number):
        found = [{"bbox": one["bbox"], "label": one["label"]} for one in scene(number)["objects"]]
        return scene(number) | {"objects": found}

    with pytest.raises(UserError, match="labels of its objects are no ClassLabel"):
        tfds_scenes.TFDSScenes("tfds", prepare(tmp_path, of_numbers, numbered))
