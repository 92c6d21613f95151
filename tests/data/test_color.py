"""Photometric operators against NumPy, colorsys and Pillow; the random order of jitter."""

import colorsys
import itertools

import numpy as np
import pytest

from mocotf.data.views import augmentations
from mocotf.data.views import color
from tests.data.support import assert_close_levels
from tests.data.support import assert_equally_likely
from tests.data.support import in_planes
from tests.data.support import jitter_with
from tests.data.support import many_draws
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
ORDERS = list(itertools.permutations(range(4)))
STRENGTHS = (0.4, 0.4, 0.4, 0.1)
hue, gray, jitter = map(in_planes, (color.hue, color.gray, color.jitter))


def jittered(image, order, factors):
    """Returns the image after the operators in `order`, by NumPy's definitions."""
    by_name = dict(zip(NAMES, factors, strict=True))
    return pillow_ops.jitter(image, [NAMES[op] for op in order], by_name)


@pytest.mark.parametrize("op", range(4), ids=NAMES)
@pytest.mark.parametrize("roll", range(4))
def test_operators_have_a_factor_or_a_shift_for_each_image(op, roll):
    name, is_hue = NAMES[op], op == color.HUE
    factors = np.roll(SHIFTS if is_hue else FACTORS, roll)
    ours = jitter_with(op)(IMAGES, factors)
    for i, factor in enumerate(factors):
        exact = getattr(pillow_ops, name)(IMAGES[i], factor)
        agree(f"image: {name}, NumPy's definition", np.abs(ours[i] - exact).max(), 1e-5)
        if is_hue:
            pillow, most = pillow_ops.pillow_hue(BYTES[i], factor), 255
        else:
            pillow, most = pillow_ops.pillow_enhance(BYTES[i], name, factor), 2
        assert_close_levels(ours[i] * 255, pillow, LEVELS, most, quantity=f"{name}, Pillow's")


@pytest.mark.parametrize("op", range(3), ids=NAMES[:3])
def test_blends_clip_and_leave_alone_at_factor_1(op):
    blend = jitter_with(op)
    np.testing.assert_allclose(blend(IMAGES, np.ones(4, np.float32)), IMAGES, atol=1e-6)
    strong = blend(IMAGES, np.full(4, 9, np.float32))
    assert strong.min() >= 0 and strong.max() == 1


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


def draw_of(order, strengths=STRENGTHS):
    """Returns the draw that makes `jitter` take the operators in `order`."""
    every = [tuple(o) for o in color.orders(strengths)]
    return (every.index(tuple(order)) + 0.5) / len(every)


def test_jitter_takes_each_image_through_its_own_order():
    images = np.stack([IMAGES[i % 4, ::3, ::3] for i in range(24)])
    factors = np.stack([np.roll(FACTORS, i) for i in range(24)])
    factors[:, color.HUE] = np.resize(SHIFTS, 24)
    draws = np.array([draw_of(order) for order in ORDERS], np.float32)
    ours = jitter(images, draws, factors, STRENGTHS)
    for i, order in enumerate(ORDERS):
        np.testing.assert_allclose(ours[i], jittered(images[i], order, factors[i]), atol=2e-5)


@pytest.mark.parametrize("used", [(0,), (3,), (0, 1), (1, 2), (0, 2, 3), (0, 1, 2, 3)])
def test_operators_of_strength_0_are_left_out(used):
    strengths = [0.4 if op in used else 0 for op in range(4)]
    factors = np.array([[1.4, 0.6, 1.3, 0.1]], np.float32)
    for order in itertools.permutations(used):
        ours = jitter(IMAGES[:1], np.float32([draw_of(order, strengths)]), factors, strengths)
        np.testing.assert_allclose(ours[0], jittered(IMAGES[0], order, factors[0]), atol=2e-5)
    none = jitter(IMAGES[:1], np.float32([0.5]), factors, (0, 0, 0, 0))
    np.testing.assert_array_equal(none, IMAGES[:1])


def test_all_orders_are_equally_likely():
    draws = many_draws()[:3000, :, augmentations.ORDER].ravel()
    n, image = len(draws), IMAGES[1, 10:70:15, 10:110:25]
    factors = np.array([1.4, 1.4, 0.6, 0.1], np.float32)
    outcomes = np.stack([jittered(image, order, factors).ravel() for order in ORDERS])
    apart = np.abs(outcomes[:, None] - outcomes[None]).max(-1) + np.eye(24)
    assert apart.min() > 1e-3  # this image tells all orders apart
    results = jitter(np.repeat(image[None], n, 0), draws, np.repeat(factors[None], n, 0), STRENGTHS)
    distance = np.abs(np.reshape(results, (n, 1, -1)) - outcomes).max(-1)
    assert distance.min(1).max() < 1e-4
    orders = distance.argmin(1)
    assert_equally_likely(orders, 24)
    # Pairs of neighbours in a batch, and the two views of an image, are independent.
    assert_equally_likely(orders[:-1:2] // 6 * 4 + orders[1::2] // 6, 16)
