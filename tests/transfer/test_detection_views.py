"""Canvases: where an image and its boxes come to lie, and that draws are those of seed and step."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.sources.base import Order
from mocotf.data.views.augmentations import Augmentation
from mocotf.transfer import detection_views as module
from mocotf.transfer.scenes import IndexedScenes
from mocotf.transfer.scenes import Truth

VIEW = Augmentation(size=16, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
CANVAS = module.Canvas(64, (32, 48), 48, most_boxes=3)
HEIGHT, WIDTH = 30, 40
BOX = (6, 4, 18, 24)


def pictures(n):
    """Returns images that are black but for a white box."""
    images = np.zeros((n, HEIGHT, WIDTH, 3), np.uint8)
    images[:, BOX[0] : BOX[2], BOX[1] : BOX[3]] = 255
    return images


def truths(n, boxes=(BOX,)):
    skipped = collections.Counter()
    return [Truth(boxes, [1] * len(boxes), HEIGHT, WIDTH, 2, skipped=skipped) for _ in range(n)]


def scenes_of(train):
    """Returns scenes with a list of `Truth` to learn from."""
    return IndexedScenes("x", "ab", (pictures(len(train)), train), (pictures(1), truths(1)))


def batches(scenes, seed=0, **options):
    options = {"bad_images": BadImages(), "first_step": 0} | options
    order = Order(seed, 4, scenes.size // 4)
    return module.training_batches(scenes, CANVAS, VIEW, order, **options).as_numpy_iterator()


def white(image):
    """Returns the box of what is white on a normalised image, y1, x1, y2, x2."""
    level = np.mean(image * VIEW.std + VIEW.mean, axis=2)
    rows, columns = np.nonzero(level > 0.5)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


def test_boxes_go_where_their_pixels_go():
    seen = set()
    for images, boxes, labels in itertools.islice(batches(scenes_of(truths(16))), 6):
        assert images.shape == (4, 64, 64, 3) and boxes.shape == (4, 3, 4)
        for image, box, label in zip(images, boxes, labels, strict=True):
            np.testing.assert_allclose(box[0], white(image), atol=1)
            assert label.tolist() == [1, module.NO_LABEL, module.NO_LABEL]
            assert (box[1:] == module.NO_BOX).all()
            height = np.flatnonzero(np.abs(image * VIEW.std).sum((1, 2)) > 1e-3).max() + 1
            seen.add((int(height), bool(box[0][0] > 0.5 * box[0][1])))
            assert not image[height:].any()  # the mean colour
    assert seen == {(32, False), (32, True), (48, False), (48, True)}  # scales, mirrored or not


def test_the_long_side_never_exceeds_the_canvas():
    image, scale = module.lay(np.zeros((20, 100, 3), np.uint8), tf.constant(48), 64)
    assert image.shape == (13, 64, 3) and float(scale) == pytest.approx(0.64)


def test_batches_are_functions_of_seed_and_step():
    scenes = scenes_of(truths(8))

    def some(seed, first_step, count):
        taken = itertools.islice(batches(scenes, seed, first_step=first_step), count)
        return [np.concatenate([x.ravel() for x in batch]) for batch in taken]

    whole = some(0, 0, 5)
    for one, other in zip(whole[3:], some(0, 3, 2), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((a != b).any() for a, b in zip(whole, some(1, 0, 5), strict=True))


def test_boxes_that_become_too_small_or_are_too_many_are_left_out_and_images_may_have_none():
    tiny, many = (1, 1, 1.5, 1.5), [BOX] * 5
    labels = next(batches(scenes_of([*truths(2, [tiny, *many]), *truths(2, ())])))[2]
    assert sorted(labels.tolist()) == [[module.NO_LABEL] * 3] * 2 + [[1] * 3] * 2


def test_what_does_not_decode_is_replaced_in_training_and_left_out_in_tests(tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(8)]
    for path, image in zip(paths, pictures(8), strict=True):
        Image.fromarray(image).save(path)
    for name in ("1.png", "5.png"):
        (tmp_path / name).write_bytes(b"no image")
    scenes = IndexedScenes("x", "ab", (paths[:4], truths(4)), (paths[4:], truths(4)))
    bad_images = BadImages()
    images = next(batches(scenes, bad_images=bad_images))[0]
    assert len(images) == 4 and all(len(white(image)) == 4 for image in images)
    views = list(module.measured_views(scenes, CANVAS, VIEW, bad_images))
    assert len(views) == 3 and len(bad_images.names) == 2
    image, scale, size, boxes, labels, hard = (part.numpy() for part in views[0])
    assert size.tolist() == [HEIGHT, WIDTH] and scale == pytest.approx(1.6)
    np.testing.assert_allclose(boxes, [BOX])
    np.testing.assert_allclose(boxes[0] * scale, white(image), atol=1)
    assert labels.tolist() == [1] and hard.tolist() == [False]
