"""Folders of images and masks, VOC's and those of tensorflow-datasets; what is wrong with them."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.views.augmentations import Augmentation
from mocotf.errors import UserError
from mocotf.transfer import mask_files
from mocotf.transfer import tfds_masked
from mocotf.transfer.mask_views import measured_views
from mocotf.transfer.segmenter import IGNORED
from tests import tiny_tfds

SHAPE = (6, 8)
MASK = "train/masks/01.png"


def mask_of(i):
    """Returns the mask of image i, of class i % 3, with an ignored pixel."""
    mask = np.full(SHAPE, i % 3, np.uint8)
    mask[0, 0] = IGNORED
    return mask


def write(folder, numbers, masks="masks", images="images", ending="png"):
    """Writes images of one level of gray each, and their masks."""
    for name in (images, masks):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in numbers:
        image = Image.fromarray(np.full((*SHAPE, 3), 5 * i, np.uint8))
        image.save(folder / images / f"{i:02}.{ending}")
        Image.fromarray(mask_of(i)).save(folder / masks / f"{i:02}.png")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train", range(6))
    write(tmp_path / "val", range(6, 9))
    return tmp_path


def damaged_png():
    """Returns a PNG whose second part of the pixels is of no known kind."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 3, (300, 400)).astype(np.uint8)
    Image.fromarray(noise * 80).save(file, "png", compress_level=0)
    start, first, rest = file.getvalue().partition(b"IDAT")
    return start + first + rest.replace(b"IDAT", b"\0\0\0\0", 1)


def parts(masked):
    """Returns the numbers of training and of test images, after a look at their masks."""
    found = []
    for handle in (*range(masked.size), *masked.tests()):
        image, mask = masked.load(handle)
        found.append(int(image[0, 0, 0]) // 5)
        np.testing.assert_array_equal(mask, mask_of(found[-1]))
    return found[: masked.size], found[masked.size :]


def test_parts_are_folders_and_classes_may_have_names(folder):
    masked = mask_files.read_folder(str(folder))
    assert parts(masked) == ([0, 1, 2, 3, 4, 5], [6, 7, 8])
    assert masked.class_names == ("background", "class 1", "class 2")
    assert masked.describe(tf.constant(7)).numpy().endswith(b"val/images/07.png")
    (folder / "classes.txt").write_text("nothing\ncat\ndog\ncow\n")
    assert mask_files.read_folder(str(folder)).class_names == ("nothing", "cat", "dog", "cow")


def test_without_parts_every_tenth_is_a_test_image(tmp_path):
    write(tmp_path, range(12))
    train, test = parts(mask_files.read_folder(str(tmp_path)))
    assert test == [0, 10] and train == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]


def test_some_images_are_always_the_same(folder):
    some, again = (parts(mask_files.read_folder(str(folder), 3, 2)) for _ in range(2))
    assert some == again and [len(part) for part in some] == [3, 2]


def test_a_palette_is_read_as_numbers(tmp_path):
    image = Image.fromarray(mask_of(2)).convert("P")
    image.putdata(mask_of(2).ravel().tolist())
    image.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(mask_files.read_mask(str(tmp_path / "mask.png")), mask_of(2))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (MASK, np.zeros((3, 3), np.uint8), "whose mask has another size"),
        (MASK, np.full(SHAPE, 3, np.uint8), "whose mask has classes above 2"),
        (MASK, None, "without a mask"),
        (MASK, np.zeros((*SHAPE, 3), np.uint8), "whose mask has 3 channels"),
        (MASK, np.full(SHAPE, 300, np.uint16), "whose mask has values from 300 to 300"),
        (MASK, b"no picture", "whose mask cannot be read"),
        (MASK, damaged_png(), "whose mask cannot be read"),
        ("train/images/01.png", b"no picture", "that are no images"),
    ],
)
def test_a_bad_pair_is_left_out_and_counted(folder, name, content, reason):
    if "classes" in reason:
        (folder / "classes.txt").write_text("a\nb\nc\n")
    (folder / name).unlink()
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    elif content is not None:
        Image.fromarray(content).save(folder / name)
    masked = mask_files.read_folder(str(folder), most_bad=0.2)
    assert parts(masked) == ([0, 2, 3, 4, 5], [6, 7, 8])
    assert masked.found() == (
        "5 training images, 3 test images (100 % PNG, 8×6), 3 classes; left out: 1 "
        f"{reason}, such as {folder / 'train/images/01.png'}"
    )
    with pytest.raises(UserError, match=f"1 of 9 left out: 1 {reason}.*--max_bad_images=0 "):
        mask_files.read_folder(str(folder), most_bad=0)


def test_other_folders_and_one_class_only_are_told(tmp_path):
    write(tmp_path, (0, 3, 6))
    with pytest.raises(UserError, match="one class only"):
        mask_files.read_folder(str(tmp_path))
    with pytest.raises(UserError, match="images: no such folder; expected images/ and masks/"):
        mask_files.read_folder(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="expected --data_dir to be a folder as VOCdevkit/VOC2012"):
        mask_files.read_voc(str(tmp_path))


def test_an_image_that_breaks_later_is_counted(folder):
    """Its header is all that is read before."""
    path = folder / "val/images/07.png"
    path.write_bytes(path.read_bytes()[:50])
    masked, bad = mask_files.read_folder(str(folder)), BadImages(None, 9, 0.5)
    assert len(list(measured_views(masked, Augmentation(), bad))) == 2
    assert len(bad.names) == 1 and bad.names[0].endswith("07.png")


def test_voc_is_read_as_it_comes(tmp_path):
    write(tmp_path, range(8), "SegmentationClass", "JPEGImages", "jpg")
    write(tmp_path, range(8), "Aug", "JPEGImages", "jpg")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name, numbers in (("train", "02\n04\n"), ("val", "01\n03\n05\n"), ("trainaug", "06\n")):
        (lists / f"{name}.txt").write_text(numbers)
    masked = mask_files.read_voc(str(tmp_path))
    assert parts(masked) == ([2, 4], [1, 3, 5])
    assert masked.class_names == mask_files.VOC_CLASSES and len(mask_files.VOC_CLASSES) == 21
    more = mask_files.read_voc(str(tmp_path), train_list="trainaug", masks="Aug")
    assert parts(more) == ([6], [1, 3, 5])
    (lists / "train.txt").write_text("02\n99\n")
    with pytest.raises(UserError, match="1 of 5 left out: 1 without a mask"):
        mask_files.read_voc(str(tmp_path), most_bad=0)
    (lists / "train.txt").write_text("\ufeff02\n")
    assert parts(mask_files.read_voc(str(tmp_path))) == ([2], [1, 3, 5])
    (lists / "train.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=r"train.txt: .*; expected a text in UTF-8"):
        mask_files.read_voc(str(tmp_path))


def test_more_classes_than_a_mask_can_name_are_told(folder):
    (folder / "classes.txt").write_text("".join(f"{c}\n" for c in range(256)))
    with pytest.raises(UserError, match="256 classes; expected at most 255"):
        mask_files.read_folder(str(folder))


def features_of_pets(features):
    image = features.Image(encoding_format="png")
    mask = features.Image(shape=(None, None, 1))
    return {"image": image, "segmentation_mask": mask, "file_name": features.Text()}


def pet(i):
    image, mask = np.full((2, 2, 3), 5 * i, np.uint8), np.array([[[1], [2]], [[3], [1]]], np.uint8)
    return {"image": image, "segmentation_mask": mask, "file_name": str(i)}


def test_pets_of_tensorflow_datasets_are_pet_background_and_ignored(tmp_path, monkeypatch):
    splits = {"train": range(6), "test": range(6, 8)}
    builder = tiny_tfds.prepare(tmp_path, "tiny_pets", features_of_pets, splits, pet)
    monkeypatch.setattr(tfds_masked, "prepared", lambda name, data_dir: builder)
    pets = tfds_masked.TFDSMasked("oxford_iiit_pet", str(tmp_path))
    assert (pets.size, pets.test_size, pets.class_names) == (6, 2, ("background", "pet"))
    images, masks = zip(*map(pets.load, pets.tests()), strict=True)
    assert sorted(int(image[0, 0, 0]) // 5 for image in images) == [6, 7]
    assert [mask.numpy().tolist() for mask in masks] == [[[1, 0], [IGNORED, 1]]] * 2


def test_cityscapes_has_the_19_classes_that_count():
    form = tfds_masked.FORMS["cityscapes/semantic_segmentation"]
    assert len(form.class_names) == len(form.values) == 19
    assert dict(zip(form.class_names, form.values, strict=True))["person"] == 24
