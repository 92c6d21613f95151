"""Crops and resizes against Pillow and NumPy, and the distribution of crop windows."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from mocotf.data.views import augmentations
from mocotf.data.views import crop
from tests.data.support import assert_close_levels
from tests.data.support import assert_same_distribution
from tests.data.support import assert_share
from tests.data.support import many_draws
from tests.data.support import photograph
from tests.data.support import uniform
from tests.oracles import draws as oracle
from tests.oracles import pillow_ops

PHOTOS = np.stack([photograph(f"{name}.png", 300, 400) for name in ("astronaut", "coffee", "page")])
BOXES = [(0, 0, 300, 400), (13, 57, 201, 223), (200, 5, 100, 60), (131, 77, 29, 31)]  # top, left, h, w


def pixels(image, box):
    top, left, height, width = box
    return image[top : top + height, left : left + width]


@pytest.mark.parametrize("size", [24, 32, 224])
@pytest.mark.parametrize("box", BOXES)
def test_resize_is_antialiased_bilinear_as_pillow_has_it(box, size):
    for photo in PHOTOS:
        ours = crop.resize(pixels(photo, box), size).numpy()
        exact = pillow_ops.pillow_crop_resize(photo.astype(np.float32), box, size, size)
        np.testing.assert_allclose(ours, exact, atol=5e-3)
        # On bytes, Pillow rounds after each of its two passes.
        pillow = pillow_ops.pillow_crop_resize(photo, box, size, size)
        assert_close_levels(ours, pillow, 0.5, most=2, quantity="antialiased resize, Pillow's")


@pytest.mark.parametrize("size", [32, 64])
def test_batched_crops_each_have_their_window(size):
    images = np.repeat(PHOTOS, len(BOXES), axis=0)
    boxes = BOXES * len(PHOTOS)
    ours = crop.crop_and_resize(images, tf.unstack(tf.constant(boxes), axis=1), size).numpy()
    for image, box, result in zip(images, boxes, ours, strict=True):
        exact = pillow_ops.pillow_crop_resize(image.astype(np.float32), box, size, size)
        np.testing.assert_allclose(result, exact, atol=5e-3)
        np.testing.assert_allclose(result, crop.resize(pixels(image, box), size), atol=5e-3)


def windows(height, width, draws, min_area=0.2):
    """Returns int `[n, 4]`: top, left, height, width."""
    draws = draws.reshape(-1, augmentations.DRAWS)
    return np.stack(crop.sample_window(draws, height, width, min_area), axis=1)


BIG = 3000, 4000  # so that rounding to pixels does not show


def test_area_is_uniform_and_aspect_log_uniform():
    _, _, height, width = windows(*BIG, many_draws()).T
    *grids, fits = oracle.accepted(*BIG)
    for axis, drawn in enumerate((height * width / math.prod(BIG), np.log(width / height))):
        middles = grids[axis].ravel()
        ends = middles + (middles[1] - middles[0]) / 2
        cumulative = np.cumsum(fits.sum(1 - axis)) / fits.sum()
        assert_same_distribution(drawn, functools.partial(np.interp, xp=ends, fp=cumulative, left=0))


def test_position_is_uniform_over_all_places_of_the_window():
    window = windows(*BIG, many_draws())
    for side in range(2):
        places = BIG[side] - window[:, 2 + side] + 1
        roomy = places > 200
        position = (window[roomy, side] + 0.5) / places[roomy]
        assert_same_distribution(position, uniform(0, 1))
    top, left = window[:, 0] / (BIG[0] - window[:, 2] + 1), window[:, 1] / (BIG[1] - window[:, 3] + 1)
    assert stats.pearsonr(top, left).pvalue > 1e-3


@pytest.mark.parametrize("side", range(4), ids=["top", "left", "height", "width"])
@pytest.mark.parametrize("size", [(375, 500), (500, 375), (100, 600), (32, 32)])
def test_windows_are_distributed_as_torchvisions(size, side):
    ours = windows(*size, many_draws())[:, side]
    theirs = oracle.crops(0, 5000, *size)[:, side]
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3


@pytest.mark.parametrize("size", [(100, 600), (600, 100), (300, 1000), (1000, 450)])
def test_centre_crops_are_as_frequent_as_after_ten_tries(size):
    fell_back = np.all(windows(*size, many_draws()) == oracle.fallback(*size), axis=1)
    assert_share(fell_back, oracle.expected_fallback_rate(*size))


def test_centre_crop_is_torchvisions_at_any_size():
    never = np.full([1, augmentations.DRAWS], 0.999, np.float32)
    never[:, augmentations.AREA] = 50  # times the area of the image
    for height in (1, 2, 7, 75, 99, 100, 101, 133, 134, 500):
        for width in (1, 3, 74, 76, 100, 127, 200, 999):
            window = windows(height, width, never)[0]
            np.testing.assert_array_equal(window, oracle.fallback(height, width))


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (33, 31), (100, 600), (2000, 1500)])
def test_windows_lie_inside_the_image(size):
    top, left, height, width = windows(*size, many_draws(), min_area=0.08).T
    assert min(top.min(), left.min()) >= 0 and min(height.min(), width.min()) >= 1
    assert (top + height).max() <= size[0] and (left + width).max() <= size[1]
    largest = np.full([1, augmentations.DRAWS], 1 - 2**-23, np.float32)  # the largest draw there is
    top, left, height, width = windows(*size, largest)[0]
    assert top + height <= size[0] and left + width <= size[1]


def test_images_of_different_sizes_share_a_call():
    draws = many_draws()[:40].reshape(-1, augmentations.DRAWS)
    heights, widths = np.arange(80) * 7 % 300 + 50, np.arange(80) * 11 % 300 + 50
    together = np.stack(crop.sample_window(draws, heights, widths, 0.2), axis=1)
    apart = [windows(h, w, d)[0] for d, h, w in zip(draws, heights, widths, strict=True)]
    np.testing.assert_array_equal(together, apart)
