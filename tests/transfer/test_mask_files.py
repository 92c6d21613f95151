"""Folders of images and masks, VOC's and those of tensorflow-datasets; what is wrong with them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.recipe import Augmentation
from mocotf.errors import UserError
from mocotf.transfer import tfds_masked
from mocotf.transfer.mask_files import VOC_CLASSES
from mocotf.transfer.mask_files import read_folder
from mocotf.transfer.mask_files import read_mask
from mocotf.transfer.mask_files import read_voc
from mocotf.transfer.mask_views import measured_views
from mocotf.transfer.segmenter import IGNORED

SHAPE = (6, 8)


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
        Image.fromarray(np.full((*SHAPE, 3), 5 * i, np.uint8)).save(
            folder / images / f"{i:02}.{ending}"
        )
        Image.fromarray(mask_of(i)).save(folder / masks / f"{i:02}.png")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train", range(6))
    write(tmp_path / "val", range(6, 9))
    return tmp_path


def levels(masked, handles):
    """Returns the numbers of images, after a look at their masks."""
    found = []
    for handle in handles:
        image, mask = masked.load(handle)
        i = int(image[0, 0, 0]) // 5
        np.testing.assert_array_equal(mask, mask_of(i))
        found.append(i)
    return found


def parts(masked):
    return levels(masked, range(masked.size)), levels(masked, masked.tests())


def test_parts_are_folders(folder):
    masked = read_folder(str(folder))
    assert parts(masked) == ([0, 1, 2, 3, 4, 5], [6, 7, 8])
    assert masked.class_names == ("background", "class 1", "class 2")
    assert masked.describe(tf.constant(7)).numpy().endswith(b"val/images/07.png")


def test_without_parts_every_tenth_is_a_test_image(tmp_path):
    write(tmp_path, range(12))
    train, test = parts(read_folder(str(tmp_path)))
    assert test == [0, 10] and train == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]


def test_classes_have_names(folder):
    (folder / "classes.txt").write_text("nothing\ncat\ndog\ncow\n")
    assert read_folder(str(folder)).class_names == ("nothing", "cat", "dog", "cow")


def test_some_images_are_always_the_same(folder):
    chosen = parts(read_folder(str(folder), 3, 2))
    assert (len(chosen[0]), len(chosen[1])) == (3, 2)
    assert parts(read_folder(str(folder), 3, 2)) == chosen


def test_a_palette_is_read_as_numbers(tmp_path):
    image = Image.fromarray(mask_of(2)).convert("P")
    image.putdata(mask_of(2).ravel().tolist())
    image.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(str(tmp_path / "mask.png")), mask_of(2))


def spoil_size(folder):
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "train/masks/01.png")


def spoil_class(folder):
    (folder / "classes.txt").write_text("a\nb\nc\n")
    Image.fromarray(np.full(SHAPE, 3, np.uint8)).save(folder / "train/masks/01.png")


def spoil_mask(folder):
    (folder / "train/masks/01.png").unlink()


def spoil_colours(folder):
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(folder / "train/masks/01.png")


def spoil_values(folder):
    Image.fromarray(np.full(SHAPE, 300, np.uint16)).save(folder / "train/masks/01.png")


def spoil_file(folder):
    (folder / "train/masks/01.png").write_bytes(b"no picture")


def spoil_image(folder):
    (folder / "train/images/01.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_size, "whose mask has another size"),
        (spoil_class, "whose mask has classes above 2"),
        (spoil_mask, "without a mask"),
        (spoil_colours, "whose mask has 3 channels"),
        (spoil_values, "whose mask has values from 300 to 300"),
        (spoil_file, "whose mask cannot be read"),
        (spoil_image, "that are no images"),
    ],
)
def test_a_bad_pair_is_left_out_and_counted(folder, caplog, spoil, reason):
    spoil(folder)
    assert parts(read_folder(str(folder), most_bad=0.2)) == ([0, 2, 3, 4, 5], [6, 7, 8])
    assert f"left out 1 of 9 images: 1 {reason}, such as" in caplog.text and "01.png" in caplog.text
    with pytest.raises(UserError, match=f"1 of 9 left out: 1 {reason}.*--max_bad_images=0 "):
        read_folder(str(folder), most_bad=0)


def test_folders_that_are_not_there_are_told(folder, tmp_path):
    with pytest.raises(UserError, match=r"images: no such folder; expected images/ and masks/"):
        read_folder(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="expected --data_dir to be a folder as VOCdevkit/VOC2012"):
        read_voc(str(folder))


def test_one_class_only_is_told(tmp_path):
    write(tmp_path, (0, 3, 6))
    with pytest.raises(UserError, match="one class only"):
        read_folder(str(tmp_path))


def test_an_image_that_breaks_later_is_counted(folder):
    """Its header is all that is read before."""
    path = folder / "val/images/07.png"
    path.write_bytes(path.read_bytes()[:50])
    masked, bad = read_folder(str(folder)), BadImages(None, 9, 0.5)
    assert len(list(measured_views(masked, Augmentation(), bad))) == 2
    assert len(bad.names) == 1 and bad.names[0].endswith("07.png")


def test_voc_is_read_as_it_comes(tmp_path):
    write(tmp_path, range(8), "SegmentationClass", "JPEGImages", "jpg")
    write(tmp_path, range(8), "Aug", "JPEGImages", "jpg")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("02\n04\n")
    (lists / "val.txt").write_text("01\n03\n05\n")
    (lists / "trainaug.txt").write_text("06\n")
    masked = read_voc(str(tmp_path))
    assert parts(masked) == ([2, 4], [1, 3, 5])
    assert masked.class_names == VOC_CLASSES and len(VOC_CLASSES) == 21
    more = read_voc(str(tmp_path), train_list="trainaug", masks="Aug")
    assert parts(more) == ([6], [1, 3, 5])
    (lists / "train.txt").write_text("02\n99\n")
    with pytest.raises(UserError, match="1 of 5 left out: 1 without a mask"):
        read_voc(str(tmp_path), most_bad=0)


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """Returns the `TFDSMasked` of a small data set with the features of oxford_iiit_pet."""
    import tensorflow_datasets as tfds
    from etils import epath

    features = {
        "image": tfds.features.Image(encoding_format="png"),
        "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
        "file_name": tfds.features.Text(),
    }

    with tfds.core.registered.skip_registration():

        class TinyPets(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            pkg_dir_path = epath.Path(tmp_path)
            __module__ = "tiny_pets"

            def _info(self):
                return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

            def _split_generators(self, manager):
                return {"train": self._generate_examples(0, 6), "test": self._generate_examples(6, 8)}

            def _generate_examples(self, first, last):
                for i in range(first, last):
                    mask = np.array([[1, 2], [3, 1]], np.uint8)[..., None]
                    image = np.full((2, 2, 3), 5 * i, np.uint8)
                    yield i, {"image": image, "segmentation_mask": mask, "file_name": str(i)}

    builder = TinyPets(data_dir=str(tmp_path))
    builder.download_and_prepare(file_format="tfrecord")
    monkeypatch.setattr(tfds_masked, "prepared", lambda name, data_dir: builder)
    return tfds_masked.TFDSMasked("oxford_iiit_pet", str(tmp_path))


def test_pets_of_tensorflow_datasets_are_pet_background_and_ignored(pets):
    assert (pets.size, pets.test_size, pets.class_names) == (6, 2, ("background", "pet"))
    found = []
    for handle in pets.tests():
        image, mask = pets.load(handle)
        found.append(int(image[0, 0, 0]) // 5)
        assert mask.numpy().tolist() == [[1, 0], [IGNORED, 1]]
    assert sorted(found) == [6, 7]


def test_cityscapes_has_the_19_classes_that_count():
    form = tfds_masked.FORMS["cityscapes/semantic_segmentation"]
    assert len(form.class_names) == len(form.values) == 19
    assert dict(zip(form.class_names, form.values, strict=True))["person"] == 24
