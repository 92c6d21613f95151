"""Canvases: where an image and its boxes come to lie, and that draws are those of seed and step."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.bad_images import BadImages
from mocotf.data.recipe import Augmentation
from mocotf.data.source import Order
from mocotf.transfer import detection_views
from mocotf.transfer.detection_views import NO_BOX
from mocotf.transfer.detection_views import NO_LABEL
from mocotf.transfer.detection_views import Canvas
from mocotf.transfer.scenes import IndexedScenes
from mocotf.transfer.scenes import Truth

VIEW = Augmentation(size=16, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
CANVAS = Canvas(64, (32, 48), 48, most_boxes=3)
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


def batches(scenes, seed=0, first_step=0, bad_images=None, canvas=CANVAS):
    bad_images = bad_images or BadImages()
    order = Order(seed, 4, scenes.size // 4)
    return detection_views.training_batches(
        scenes, canvas, VIEW, order, bad_images=bad_images, first_step=first_step
    )


def white(image):
    """Returns the box of what is white on a normalised image, y1, x1, y2, x2."""
    level = np.mean(image * VIEW.std + VIEW.mean, axis=2)
    rows, columns = np.nonzero(level > 0.5)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


def test_boxes_go_where_their_pixels_go():
    scenes = IndexedScenes("x", "ab", (pictures(16), truths(16)), (pictures(1), truths(1)))
    seen = set()
    for images, boxes, labels in batches(scenes).take(6).as_numpy_iterator():
        assert images.shape == (4, 64, 64, 3) and boxes.shape == (4, 3, 4)
        for image, box, label in zip(images, boxes, labels, strict=True):
            np.testing.assert_allclose(box[0], white(image), atol=1)
            assert label.tolist() == [1, NO_LABEL, NO_LABEL] and (box[1:] == NO_BOX).all()
            height = np.flatnonzero(np.abs(image * VIEW.std).sum((1, 2)) > 1e-3).max() + 1
            seen.add((int(height), bool(box[0][0] > 0.5 * box[0][1])))
            assert not image[height:].any()  # the mean colour
    assert seen == {(32, False), (32, True), (48, False), (48, True)}  # scales, mirrored or not


def test_the_long_side_never_exceeds_the_canvas():
    image, scale = detection_views.lay(np.zeros((20, 100, 3), np.uint8), tf.constant(48), 64)
    assert image.shape == (13, 64, 3) and float(scale) == pytest.approx(0.64)


def test_batches_are_functions_of_seed_and_step():
    scenes = IndexedScenes("x", "ab", (pictures(8), truths(8)), (pictures(1), truths(1)))

    def some(seed, first_step, count):
        taken = batches(scenes, seed, first_step).take(count).as_numpy_iterator()
        return [np.concatenate([x.ravel() for x in batch]) for batch in taken]

    whole = some(0, 0, 5)
    for one, other in zip(whole[3:], some(0, 3, 2), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((a != b).any() for a, b in zip(whole, some(1, 0, 5), strict=True))


def test_boxes_that_become_too_small_and_too_many_are_left_out():
    tiny, many = (1, 1, 1.5, 1.5), [BOX] * 5
    scenes = IndexedScenes("x", "ab", (pictures(4), truths(4, [tiny, *many])), (pictures(1), truths(1)))
    labels = next(batches(scenes).as_numpy_iterator())[2]
    assert (labels == 1).all() and labels.shape == (4, 3)


def test_images_without_boxes_have_none():
    scenes = IndexedScenes(
        "x", "ab", (pictures(4), [*truths(1), *truths(3, ())]), (pictures(1), truths(1))
    )
    labels = next(batches(scenes).as_numpy_iterator())[2]
    assert sorted((labels >= 0).sum(axis=1)) == [0, 0, 0, 1]


def test_what_does_not_decode_is_replaced_in_training_and_left_out_in_tests(tmp_path):
    paths = []
    for i, image in enumerate(pictures(8)):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(image).save(paths[-1])
    (tmp_path / "1.png").write_bytes(b"no image")
    (tmp_path / "5.png").write_bytes(b"no image")
    scenes = IndexedScenes("x", "ab", (paths[:4], truths(4)), (paths[4:], truths(4)))
    bad_images = BadImages()
    images = next(batches(scenes, bad_images=bad_images).as_numpy_iterator())[0]
    assert len(images) == 4 and all(len(white(image)) == 4 for image in images)
    views = list(detection_views.measured_views(scenes, CANVAS, VIEW, bad_images))
    assert len(views) == 3 and len(bad_images.names) == 2
    image, scale, size, boxes, labels, hard = (part.numpy() for part in views[0])
    assert size.tolist() == [HEIGHT, WIDTH] and scale == pytest.approx(1.6)
    np.testing.assert_allclose(boxes, [BOX])
    np.testing.assert_allclose(boxes[0] * scale, white(image), atol=1)
    assert labels.tolist() == [1] and hard.tolist() == [False]
