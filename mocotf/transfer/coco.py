"""Scenes of a file of COCO's format and a folder of images."""

import collections
import json
import os

import numpy as np
import tensorflow as tf

from mocotf.data.views.decode import decode
from mocotf.data.views.orientation import orientation
from mocotf.data.views.orientation import turned
from mocotf.errors import UserError
from mocotf.transfer.datasets import chosen
from mocotf.transfer.scenes import IndexedScenes
from mocotf.transfer.scenes import Truth

OTHER_SIZE = "the image has another size than its annotations say"


def read(data_dir, annotations, test_annotations, train_images=None, test_images=None):
    """Returns the `Scenes` of two files, of training and of test images.

    Boxes of an unknown category, outside their image or without area are left out and counted, and so
    are annotations of images that the file does not list. Images without a box are background. An image
    is turned as its EXIF says if only so it has the size that the file gives it; one that has another
    size is a bad image.

    Args:
        data_dir: folder that the files' file_name are relative to.
        annotations, test_annotations: paths of the files.
        train_images, test_images: of each so many images are used, always the same; None for all.

    Raises:
        UserError: a file cannot be read, is not of the format, or has nothing to learn.
    """
    skipped = collections.Counter()
    categories, training = _read(annotations)
    test_categories, test = _read(test_annotations)
    if test_categories != categories:
        raise UserError(
            f"{test_annotations}: has {len(test_categories)} categories, {annotations} has "
            f"{len(categories)}, or of other names or numbers; expected the same in both"
        )
    parts = [
        _part(data_dir, path, content, list(categories), most, skipped)
        for path, content, most in (
            (annotations, training, train_images),
            (test_annotations, test, test_images),
        )
    ]
    sizes = [size for part in parts for size in part[2]]
    seen = (part[:2] for part in parts)
    return CocoScenes(annotations, categories.values(), *seen, skipped, sizes=sizes)


class CocoScenes(IndexedScenes):
    """Scenes whose boxes are for images of given sizes.

    Args:
        more: see `IndexedScenes`.
        sizes: (height, width) of each image, the training images first.
    """

    rotated = "turned where only so they have the size of their annotations"

    def __init__(self, *more, sizes):
        super().__init__(*more)
        self._sizes = tf.constant(sizes, tf.int32)

    def load(self, handle):
        encoded = super().load(handle)
        pixels, size = decode(encoded, max_pixels=self.max_pixels), self._sizes[handle]

        def fits(image):
            return tf.reduce_all(tf.shape(image)[:2] == size)

        pixels = tf.cond(fits(pixels), lambda: pixels, lambda: turned(pixels, orientation(encoded)))
        with tf.control_dependencies([tf.debugging.Assert(fits(pixels), [OTHER_SIZE])]):
            return tf.identity(pixels)


def _read(path):
    """Returns (category's number → name, the rest of the file)."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        categories = dict(sorted((c["id"], "" + c["name"]) for c in content["categories"]))
        for image in content["images"]:
            hash(image["id"]), os.path.join("", image["file_name"])
            image |= {side: int(image[side]) for side in ("height", "width")}
        for annotation in content["annotations"]:
            hash((annotation["image_id"], annotation["category_id"]))
            _x, _y, _width, _height = map(float, annotation["bbox"])
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a file of COCO's format") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{path}: is no file of COCO's format ({type(error).__name__}: {error}); expected images, "
            "annotations and categories, as in instances_val2017.json"
        ) from error
    if not categories:
        raise UserError(f"{path}: has no categories; expected at least one")
    return categories, content


def _part(data_dir, path, content, categories, most, skipped):
    """Returns (paths of images, their `Truth`, their sizes)."""
    images = {image["id"]: image for image in content["images"]}
    of_image = collections.defaultdict(list)
    for annotation in content["annotations"]:
        if annotation["image_id"] not in images:
            skipped["of an image that is not listed"] += 1
        else:
            of_image[annotation["image_id"]].append(annotation)
    numbers = {category: number for number, category in enumerate(categories)}
    used = chosen(list(images.values()), most)
    files = [os.path.join(data_dir, image["file_name"]) for image in used]
    if missing := [file for file in files if not os.path.isfile(file)]:
        raise UserError(
            f"{path}: {len(missing)} of its {len(files)} images are not in --data_dir={data_dir}, such "
            f"as {missing[0]}; expected the folder that the names in it are relative to"
        )
    truths = [_truth(image, of_image[image["id"]], numbers, len(categories), skipped) for image in used]
    return files, truths, [(int(image["height"]), int(image["width"])) for image in used]


def _truth(image, annotations, numbers, classes, skipped):
    boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)
    x, y, width, height = boxes.T
    return Truth(
        np.stack([y, x, y + height, x + width], axis=1),
        [numbers.get(a["category_id"], -1) for a in annotations],
        image["height"],
        image["width"],
        classes,
        hard=[a.get("iscrowd", 0) for a in annotations],
        skipped=skipped,
    )
