"""Images and masks in files: of a folder of one's own, or of a VOCdevkit."""

import collections
import concurrent.futures
import os

import numpy as np
import tensorflow as tf
from PIL import Image

from mocotf.data.places.directory import list_images
from mocotf.data.places.parts import HELD_OUT
from mocotf.data.sources.classified import QUERY_EVERY
from mocotf.errors import UserError
from mocotf.files import printable
from mocotf.transfer.datasets import chosen
from mocotf.transfer.masked import BACKGROUND
from mocotf.transfer.masked import IndexedMasked
from mocotf.transfer.segmenter import IGNORED

CLASSES_FILE = "classes.txt"
VOC_CLASSES = (
    BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


class MaskFiles(IndexedMasked):
    """Image files that each have a mask file, which was looked at before; see `read_folder`.

    Args:
        name: for messages.
        class_names: of the values in masks.
        training, test: of each part a list of (path of an image, path of its mask).
        left_out: see `TransferDataset`.
    """

    def __init__(self, name, class_names, training, test, left_out=""):
        self.left_out = left_out
        super().__init__(name, class_names, len(training), len(test))
        self.paths, self._masks = (
            tf.constant([os.fsencode(path) for path in paths])
            for paths in zip(*training, *test, strict=True)
        )

    def load(self, handle):
        # Outside a graph the path comes as an array.
        mask = tf.numpy_function(
            lambda path: read_mask(np.asarray(path, object).item()),
            [self._masks[handle]],
            tf.uint8,
            stateful=False,
        )
        image = self.pixels_of(tf.io.read_file(self.paths[handle]))
        return image, tf.ensure_shape(mask, [None, None])

    def describe(self, handle):
        return self.paths[handle]


def read_folder(data_dir, train_images=None, test_images=None, most_bad=0.1):
    """Returns the `MaskFiles` of a folder.

    It has images/ and masks/, in which an image and its mask have the same name but for its ending; or
    train/ and val/ (or validation/, test/) with these two in each. Without such parts every tenth image
    is a test image. classes.txt, where there is one, names the classes, one a line; otherwise there are
    as many as the highest value in a mask says.

    A mask has one channel, with the number of a class for each pixel, or IGNORED: gray or a palette. An
    image without a mask, or whose mask has another size or values that are no class, is left out and
    counted. All masks are read for that, once.

    Args:
        data_dir: the folder.
        train_images, test_images: of each so many images are used, always the same; None for all.
        most_bad: share of images that may be left out.

    Raises:
        UserError: there is no such folder, nothing in it, or too much of it is bad.
    """
    train = os.path.join(data_dir, "train")
    tests = [os.path.join(data_dir, name) for name in HELD_OUT]
    held_out = next((folder for folder in tests if os.path.isdir(folder)), None)
    if os.path.isdir(train) and held_out:
        parts = [_pairs(train), _pairs(held_out)]
    else:
        pairs = _pairs(data_dir)
        parts = [[p for i, p in enumerate(pairs) if i % QUERY_EVERY], pairs[::QUERY_EVERY]]
    names = _names_in(os.path.join(data_dir, CLASSES_FILE))
    return _checked(f"--data_dir={data_dir}", names, parts, (train_images, test_images), most_bad)


def read_voc(
    data_dir,
    train_images=None,
    test_images=None,
    most_bad=0.1,
    *,
    train_list="train",
    test_list="val",
    masks="SegmentationClass",
):
    """Returns the `MaskFiles` of a folder as VOCdevkit/VOC2012; arguments as of `read_folder`, and

    Args:
        train_list, test_list: files of ImageSets/Segmentation, without .txt.
        masks: folder of masks.
    """
    parts = []
    for name in (train_list, test_list):
        path = os.path.join(data_dir, "ImageSets", "Segmentation", f"{name}.txt")
        try:
            listed = [line.split()[0] for line in _lines(path)]
        except OSError as error:
            raise UserError(
                f"{path}: {error.strerror}; expected --data_dir to be a folder as VOCdevkit/VOC2012, "
                "with JPEGImages, SegmentationClass and ImageSets/Segmentation"
            ) from error
        parts.append(
            [
                (
                    os.path.join(data_dir, "JPEGImages", f"{name}.jpg"),
                    os.path.join(data_dir, masks, f"{name}.png"),
                )
                for name in listed
            ]
        )
    return _checked(f"--data_dir={data_dir}", VOC_CLASSES, parts, (train_images, test_images), most_bad)


def read_mask(path):
    """Returns the mask in a file, uint8 `[h, w]`.

    Raises:
        OSError, ValueError, SyntaxError: it is no picture of one channel, or has values above 255.
    """
    with Image.open(path) as image:  # TensorFlow would give the colours of a palette
        if len(image.getbands()) > 1:
            raise ValueError(f"has {len(image.getbands())} channels")
        values = np.asarray(image)
    if values.min() < 0 or values.max() > IGNORED:
        raise ValueError(f"has values from {values.min()} to {values.max()}")
    return values.astype(np.uint8)


def _pairs(folder):
    """Returns the (image, mask) paths under a folder with images/ and masks/; None for no mask."""
    roots = [os.path.join(folder, name) for name in ("images", "masks")]
    for root in roots:
        if not os.path.isdir(root):
            raise UserError(
                f"{root}: no such folder; expected images/ and masks/ in --data_dir, or in train/ and "
                "val/ there"
            )
    images, masks = (
        [(os.path.splitext(os.path.relpath(path, root))[0], path) for path in list_images(root)]
        for root in roots
    )
    masks = dict(masks)
    return [(path, masks.get(name)) for name, path in images]


def _names_in(path):
    """Returns the lines of a file; None where there is no such file."""
    try:
        return _lines(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a name of a class a line") from error


def _lines(path):
    """Returns the lines of a text that are not empty."""
    try:
        with open(path, encoding="utf-8-sig") as lines:
            return [line.strip() for line in lines if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {error}; expected a text in UTF-8") from error


def _checked(name, class_names, parts, most, most_bad):
    """Returns the `MaskFiles` of what is good in two lists of pairs, and says what is not."""
    known = len(class_names) if class_names else IGNORED
    bad, highest, good = collections.defaultdict(list), 0, []
    # Pillow reads without Python's lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for pairs in parts:
            kept = []
            for pair, (reason, values) in zip(
                pairs, pool.map(lambda pair: _look(*pair, known), pairs), strict=True
            ):
                if reason:
                    bad[reason].append(pair[0])
                else:
                    kept.append(pair)
                    highest = max(highest, values)
            good.append(kept)
    total, left_out = sum(map(len, parts)), sum(map(len, bad.values()))
    found = "; ".join(f"{len(p)} {why}, such as {printable(p[0])}" for why, p in bad.items())
    if left_out > max(most_bad * total, 1 if most_bad else 0) or not all(good):
        raise UserError(
            f"{name}: {len(good[0])} images with masks to train on, {len(good[1])} to measure on, "
            f"{left_out} of {total} left out{': ' if found else ''}{found}; expected some of both, and "
            f"no more left out than --max_bad_images={most_bad:g} says"
        )
    if not class_names:
        class_names = [BACKGROUND, *(f"class {c}" for c in range(1, highest + 1))]
    if len(class_names) > IGNORED:
        raise UserError(f"{name}: {len(class_names)} classes; expected at most {IGNORED}")
    if len(class_names) < 2:
        raise UserError(f"{name}: masks have one class only; expected two or more, the background 0")
    return MaskFiles(name, class_names, *map(chosen, good, most), found)


def _look(image, mask, classes):
    """Returns (what is wrong with a pair or None, the highest class in the mask)."""
    if mask is None or not os.path.isfile(mask):
        return "without a mask", 0
    try:
        with Image.open(image) as opened:
            width, height = opened.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return "that are no images", 0
    try:
        values = read_mask(mask)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error) if isinstance(error, ValueError) else "cannot be read"
        return f"whose mask {reason}", 0
    if values.shape != (height, width):
        return "whose mask has another size", 0
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=IGNORED + 1)[:IGNORED])
    highest = int(present.max(initial=0))
    if highest >= classes:
        return f"whose mask has classes above {classes - 1}", 0
    return None, highest
