"""Photometric operators against NumPy, colorsys and Pillow; the random order of jitter."""

import colorsys
import itertools

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data import color
from mocotf.data import recipe
from tests.data.support import assert_close_levels
from tests.data.support import assert_equally_likely
from tests.data.support import in_planes
from tests.data.support import many_draws
from tests.data.support import once_per_batch
from tests.data.support import photograph
from tests.measured import agree
from tests.oracles import pillow_ops

BYTES = np.stack(
    [photograph(f"{name}.png", 90, 120) for name in ("astronaut", "coffee", "chelsea", "ihc")]
)
IMAGES = (BYTES / 255).astype(np.float32)
LEVELS = 2  # of 255, on average: what Pillow's rounding after each operation may cost
FACTORS = np.array([0.6, 0.9, 1.3, 1.4], np.float32)
SHIFTS = np.array([-0.4, -0.1, 0.07, 0.4], np.float32)
NAMES = ["brightness", "contrast", "saturation", "hue"]  # in the order of color.BRIGHTNESS, …
STRENGTHS = (0.4, 0.4, 0.4, 0.1)
hue, gray, jitter = map(in_planes, (color.hue, color.gray, color.jitter))
NOT_THE_SAME = pytest.raises(AssertionError, match=r"levels on average|chi-square")


def blend_as(name):
    """Returns (images, factor) → images of one of the blends, jitter with no other operator."""
    op = NAMES.index(name)

    def blend(images, factor):
        factors = np.ones([len(images), 4], np.float32)
        factors[:, op] = factor
        return jitter(images, np.zeros(len(images), np.float32), factors, np.eye(4)[op])

    return blend


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("roll", range(4))
def test_blends_have_a_factor_for_each_image(name, roll):
    factors = np.roll(FACTORS, roll)
    ours = blend_as(name)(IMAGES, factors)
    for i in range(len(IMAGES)):
        exact = getattr(pillow_ops, name)(IMAGES[i], factors[i])
        agree(f"image: {name}, NumPy's definition", np.abs(ours[i] - exact).max(), 1e-5)
        pillow = pillow_ops.pillow_enhance(BYTES[i], name, factors[i])
        assert_close_levels(ours[i] * 255, pillow, LEVELS, most=2, quantity=f"{name}, Pillow's")


@pytest.mark.parametrize("name", NAMES[:3])
def test_blends_clip_and_leave_alone_at_factor_1(name):
    blend = blend_as(name)
    np.testing.assert_allclose(blend(IMAGES, np.ones(4, np.float32)), IMAGES, atol=1e-6)
    strong = blend(IMAGES, np.full(4, 9, np.float32)).numpy()
    assert strong.min() >= 0 and strong.max() == 1


@pytest.mark.parametrize("roll", range(4))
def test_hue_has_a_shift_for_each_image(roll):
    shifts = np.roll(SHIFTS, roll)
    ours = hue(IMAGES, shifts)
    for i in range(len(IMAGES)):
        exact = pillow_ops.hue(IMAGES[i], shifts[i])
        agree("image: hue, NumPy's definition", np.abs(ours[i] - exact).max(), 1e-5)
        pillow = pillow_ops.pillow_hue(BYTES[i], shifts[i])
        assert_close_levels(ours[i] * 255, pillow, LEVELS, quantity="hue, Pillow's")


def test_hue_is_colorsys_with_wrap():
    pixels = IMAGES[:, ::30, ::40]
    ours = hue(pixels, SHIFTS).numpy()
    for i, shift in enumerate(SHIFTS):
        for before, after in zip(pixels[i].reshape(-1, 3), ours[i].reshape(-1, 3), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*map(float, before))
            np.testing.assert_allclose(after, colorsys.hsv_to_rgb((h + shift) % 1, s, v), atol=1e-5)
    whole_turns = hue(IMAGES, np.array([0, 1, -1, 0], np.float32))
    np.testing.assert_allclose(whole_turns, IMAGES, atol=1e-5)


def test_gray_is_luma():
    ours = np.repeat(gray(IMAGES), 3, axis=-1)
    for i in range(len(IMAGES)):
        exact = pillow_ops.grayscale(IMAGES[i])
        agree("image: gray, NumPy's definition", np.abs(ours[i] - exact).max(), 1e-6)
        pillow = pillow_ops.pillow_grayscale(BYTES[i])
        assert_close_levels(ours[i] * 255, pillow, 0.5, most=1, quantity="gray, Pillow's")


def test_tensorflows_brightness_and_contrast_would_be_told():
    for i, factor in enumerate(FACTORS):
        added = tf.clip_by_value(tf.image.adjust_brightness(IMAGES[i], factor - 1), 0, 1)
        with NOT_THE_SAME:
            assert_close_levels(
                added * 255, pillow_ops.pillow_enhance(BYTES[i], "brightness", factor), LEVELS
            )
    # The mean of each channel makes a difference where the picture has a cast: ihc, coffee, chelsea.
    for i in (1, 2, 3):
        per_channel = tf.clip_by_value(tf.image.adjust_contrast(IMAGES[i], 1.4), 0, 1)
        with NOT_THE_SAME:
            assert_close_levels(
                per_channel * 255, pillow_ops.pillow_enhance(BYTES[i], "contrast", 1.4), LEVELS
            )


def draw_of(order, strengths=STRENGTHS):
    """Returns the draw that makes `jitter` take the operators in `order`."""
    every = [tuple(o) for o in color.orders(strengths)]
    return (every.index(tuple(order)) + 0.5) / len(every)


def test_jitter_takes_each_image_through_its_own_order():
    every = list(itertools.permutations(range(4)))
    images = np.stack([IMAGES[i % 4, ::3, ::3] for i in range(24)])
    factors = np.stack([np.roll(FACTORS, i) for i in range(24)])
    factors[:, color.HUE] = np.resize(SHIFTS, 24)
    draws = np.array([draw_of(order) for order in every], np.float32)
    ours = jitter(images, draws, factors, STRENGTHS)
    for i, order in enumerate(every):
        by_name = dict(zip(NAMES, factors[i], strict=True))
        exact = pillow_ops.jitter(images[i], [NAMES[op] for op in order], by_name)
        np.testing.assert_allclose(ours[i], exact, atol=2e-5)


@pytest.mark.parametrize("used", [(0,), (3,), (0, 1), (1, 2), (0, 2, 3), (0, 1, 2, 3)])
def test_operators_of_strength_0_are_left_out(used):
    strengths = [0.4 if op in used else 0 for op in range(4)]
    factors = np.array([[1.4, 0.6, 1.3, 0.1]], np.float32)
    for order in itertools.permutations(used):
        ours = jitter(IMAGES[:1], np.float32([draw_of(order, strengths)]), factors, strengths)
        by_name = dict(zip(NAMES, factors[0], strict=True))
        exact = pillow_ops.jitter(IMAGES[0], [NAMES[op] for op in order], by_name)
        np.testing.assert_allclose(ours[0], exact, atol=2e-5)
    none = jitter(IMAGES[:1], np.float32([0.5]), factors, (0, 0, 0, 0))
    np.testing.assert_array_equal(none, IMAGES[:1])


def observed_orders(draws):
    """Returns which of the 24 orders `jitter` took, told from what became of one small image."""
    image = IMAGES[1, 10:70:15, 10:110:25]
    factors = np.array([1.4, 1.4, 0.6, 0.1], np.float32)
    by_name = dict(zip(NAMES, factors, strict=True))
    outcomes = np.stack(
        [
            pillow_ops.jitter(image, [NAMES[op] for op in order], by_name).ravel()
            for order in itertools.permutations(range(4))
        ]
    )
    apart = np.abs(outcomes[:, None] - outcomes[None]).max(-1) + np.eye(24)
    assert apart.min() > 1e-3  # this image tells all orders apart
    n = len(draws)
    results = jitter(np.repeat(image[None], n, 0), draws, np.repeat(factors[None], n, 0), STRENGTHS)
    distance = np.abs(np.reshape(results, (n, 1, -1)) - outcomes).max(-1)
    assert distance.min(1).max() < 1e-4
    return distance.argmin(1)


def test_all_orders_are_equally_likely():
    orders = observed_orders(many_draws()[:3000, :, recipe.ORDER].ravel())
    assert_equally_likely(orders, 24)
    # Pairs of neighbours in a batch, and the two views of an image, are independent.
    assert_equally_likely(orders[:-1:2] // 6 * 4 + orders[1::2] // 6, 16)


def test_a_fixed_order_or_one_for_each_batch_would_be_told():
    draws = many_draws()[:3000, :, recipe.ORDER].ravel()
    for wrong in (np.zeros_like(draws), once_per_batch(draws)):
        with NOT_THE_SAME:
            assert_equally_likely(observed_orders(wrong), 24)
