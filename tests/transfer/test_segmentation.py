"""Scores of masks against scikit-learn's; training crops of images and masks; pictures."""

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from mocotf.data.bad_images import BadImages
from mocotf.data.sources.base import Order
from mocotf.data.views.augmentations import Augmentation
from mocotf.transfer import mask_views as views
from mocotf.transfer.cutouts import cutouts
from mocotf.transfer.mask_picture import mask_picture
from mocotf.transfer.masked import MaskedCutouts
from mocotf.transfer.segmentation import Scores
from mocotf.transfer.segmentation import batched
from mocotf.transfer.segmenter import IGNORED

VIEW = Augmentation(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
CASES = {
    "all right": ([0, 1, 2, 2], [0, 1, 2, 2]),
    "all wrong": ([0, 1, 2, 2], [1, 2, 0, 0]),
    "a class is missing in both": ([0, 2, 2, 2], [0, 2, 0, 2]),
    "a class is found that is not there": ([0, 0, 0, 0], [0, 0, 1, 2]),
    "a class is there and not found": ([0, 1, 2, 0], [0, 0, 0, 0]),
}


@pytest.mark.parametrize("case", CASES)
def test_miou_is_scikit_learns(case):
    truth, found = np.array(CASES[case], np.uint8)
    scores = Scores(4)
    for half in (slice(0, 2), slice(2, 4)):
        scores.add(truth[None, half], found[None, half])
    expected = sklearn.metrics.confusion_matrix(truth, found, labels=range(4))
    np.testing.assert_array_equal(scores.confusion, expected)
    jaccard = sklearn.metrics.jaccard_score(truth, found, average="macro")
    assert scores.miou == pytest.approx(100 * jaccard) and scores.pixels == 4
    assert scores.pixel_accuracy == pytest.approx(100 * np.mean(truth == found))


def test_ignored_pixels_do_not_count():
    scores = Scores(3)
    scores.add(np.array([[0, IGNORED, 1]]), np.array([[0, 2, 1]]))
    assert (scores.pixels, scores.pixel_accuracy) == (2, 100) and scores.miou == pytest.approx(100)


def test_large_counts_are_exact():
    scores, none = Scores(2), np.zeros([2**12, 2**10], np.uint8)
    for _ in range(5):
        scores.add(none, none)
    scores.add(np.array([[1]]), np.array([[0]]))
    assert scores.confusion.tolist() == [[5 * 2**22, 0], [1, 0]]  # float32 would lose it


def ramp(height, width):
    """An image whose pixels say where they are, and a mask that has the halves of it."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([y, x, np.zeros_like(y)], axis=-1).astype(np.uint8)
    return tf.constant(image), tf.constant((x >= width // 2).astype(np.uint8))


@pytest.mark.parametrize(("draw", "expected"), [(0.0, (10, 20)), (1 / 3, (20, 40)), (1.0, (40, 80))])
def test_image_and_mask_are_resized_alike(draw, expected):
    image, mask = views.resized(*ramp(20, 40), tf.constant(draw), (0.5, 2.0))
    assert image.shape[:2] == mask.shape == expected
    assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_allclose(tf.reduce_mean(image, axis=[0, 1]), [9.5, 19.5, 0], atol=0.1)
    height, width = expected  # the border between the halves is where it was
    np.testing.assert_array_equal(mask, np.tile(np.arange(width) >= width // 2, (height, 1)))


def test_crops_are_windows_of_image_and_mask():
    image, mask = ramp(20, 40)
    window, labels = views.cropped(tf.cast(image, tf.float32), mask, tf.constant([0.5, 0.999]), 8)
    assert window[0, 0].numpy().tolist() == [6, 32, 0]  # 13 and 33 places
    np.testing.assert_array_equal(labels, (window[..., 1] >= 20).numpy())


def test_small_images_are_filled_up_with_the_mean_and_ignored_pixels():
    image, mask = ramp(4, 20)
    window, labels = views.cropped(tf.cast(image, tf.float32) + 1, mask, tf.constant([0.9, 0.0]), 8)
    assert np.all(window[:4] != 0, axis=(0, 1, 2)) and not np.any(window[4:])
    assert np.all(labels[4:] == IGNORED) and not np.any(labels[:4] == IGNORED)


def batch_list(masked, crop, first_step=0, steps=4, seed=0):
    order, bad = Order(seed, 4, masked.size // 4), BadImages()
    batches = views.training_batches(masked, crop, VIEW, order, bad_images=bad, first_step=first_step)
    return list(batches.take(steps).as_numpy_iterator())


def test_batches_depend_on_seed_and_step_only():
    masked, crop = MaskedCutouts(12, 4), views.Crop(65, (0.5, 2.0))
    whole = batch_list(masked, crop)
    images, masks = whole[0]
    assert images.shape == (4, 65, 65, 3) and images.dtype == np.float32
    assert masks.shape == (4, 65, 65) and masks.dtype == np.uint8
    for (a, b), (c, d) in zip(whole[2:], batch_list(masked, crop, first_step=2, steps=2), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert not np.array_equal(batch_list(masked, crop, seed=1)[0][0], images)


def pixels_of(images, masks):
    """Returns what there is of (red, green, blue, class)."""
    return {*map(tuple, np.c_[images.reshape(-1, 3), masks.ravel()].tolist())}


def test_image_and_mask_stay_together():
    made = cutouts("train", 12)
    known = pixels_of(made.images, made.masks)
    for images, masks in batch_list(MaskedCutouts(12, 4), views.Crop(65, (1.0, 1.0)), steps=3):
        levels = np.rint(255 * (images * np.array(VIEW.std) + np.array(VIEW.mean))).astype(int)
        assert pixels_of(levels, masks) <= known


def test_test_images_are_whole_and_normalised():
    seen, made = views.measured_views(MaskedCutouts(4, 3), VIEW, BadImages()), cutouts("test", 3)
    for (image, mask), pixels, expected in zip(seen, made.images, made.masks, strict=True):
        levels = 255 * (image * np.array(VIEW.std) + np.array(VIEW.mean))
        np.testing.assert_allclose(levels, pixels, atol=1e-3)
        np.testing.assert_array_equal(mask, expected)


def batched_shapes(shapes, most):
    images = tf.data.Dataset.from_generator(
        lambda: ((np.zeros(shape, np.uint8),) for shape in shapes),
        output_signature=(tf.TensorSpec([None, None], tf.uint8),),
    )
    return [part.shape for (part,) in batched(images, most)]


def test_images_of_one_size_are_measured_together():
    shapes = batched_shapes([(2, 2), (2, 2), (2, 2), (3, 2), (2, 2)], 2)
    assert shapes == [(2, 2, 2), (1, 2, 2), (1, 3, 2), (1, 2, 2)]


def test_large_images_are_measured_few_at_a_time():
    shapes = batched_shapes([(2048, 1024)] * 3 + [(4096, 2048)] * 2, 16)
    assert [n for n, *_ in shapes] == [2, 1, 1, 1]


def test_a_picture_shows_image_truth_and_answer():
    image = np.full((20, 30, 3), 77, np.uint8)
    mask = np.zeros((20, 30), np.uint8)
    mask[:, 15:], mask[0] = 2, IGNORED
    picture = mask_picture([(image, mask, mask)] * 4, 3)
    assert picture.dtype == np.uint8 and picture.ndim == 3
    colours = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert {(77, 77, 77), (0, 0, 0), (128, 128, 128), (255, 255, 255)} < colours and len(colours) == 5
