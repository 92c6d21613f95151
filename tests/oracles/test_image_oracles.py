"""Sanity of the NumPy oracles themselves: image operations, crop draws, schedules."""

import colorsys
import math

import numpy as np
import pytest

from tests.oracles import draws
from tests.oracles import pillow_ops as ops
from tests.oracles import schedules

RNG = np.random.default_rng(0)
RAMP = np.linspace(0, 255, 40 * 60 * 3).reshape(40, 60, 3).astype(np.int64) // 3 * 3
# Noise, and a smooth ramp with gray, black and white.
BYTES = np.concatenate([RNG.integers(0, 256, (40, 60, 3)), RAMP]).astype(np.uint8)
BYTES[:2], BYTES[2:4], BYTES[4:6] = 0, 255, 128
IMAGE = BYTES / 255.0


def test_hue_is_colorsys():
    pixels = IMAGE[::3, ::3].reshape(-1, 3)
    hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels]
    for shift in (0.1, -0.4):
        rgb = [colorsys.hsv_to_rgb((h + shift) % 1.0, s, v) for h, s, v in hsv]
        np.testing.assert_allclose(ops.hue(pixels, shift), rgb, rtol=0, atol=1e-14)
    np.testing.assert_allclose(ops.hue(IMAGE, 0.0), IMAGE, atol=1e-14)
    np.testing.assert_allclose(ops.hue(IMAGE, 0.4), ops.hue(IMAGE, -0.6), atol=1e-12)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
def test_blends_are_pillow_s_up_to_rounding(name, factor):
    ours = getattr(ops, name)(IMAGE, factor) * 255
    # Pillow rounds the gray image (and its mean), then truncates the blend.
    assert np.abs(ours - ops.pillow_enhance(BYTES, name, factor)).max() <= 1.51


def test_gray_is_pillow_s_up_to_rounding():
    assert np.abs(ops.grayscale(IMAGE) * 255 - ops.pillow_grayscale(BYTES)).max() <= 0.51
    np.testing.assert_allclose(ops.contrast(IMAGE, 0.0), ops.gray(IMAGE).mean(), atol=1e-15)


@pytest.mark.parametrize("shift", [-0.4, -0.1, 0.0, 0.1, 0.4])
def test_hue_is_pillow_s_up_to_its_bytes(shift):
    # The byte of a hue is up to 1/255 of a turn off, that is 6/255 of a channel, and a shift too.
    difference = np.abs(ops.hue(IMAGE, shift) * 255 - ops.pillow_hue(BYTES, shift))
    assert difference.max() <= 14 and difference.mean() <= 3


def test_jitter_keeps_the_order():
    factors = {"brightness": 1.4, "contrast": 0.6, "saturation": 1.3, "hue": 0.1}
    one = ops.jitter(IMAGE, ["brightness", "contrast"], factors)
    np.testing.assert_array_equal(one, ops.contrast(ops.brightness(IMAGE, 1.4), 0.6))
    assert np.abs(one - ops.jitter(IMAGE, ["contrast", "brightness"], factors)).max() > 0.01


def test_blur():
    impulse = np.zeros((41, 41, 3))
    impulse[20, 20] = 1.0
    t = np.arange(-6, 7)
    kernel = np.exp(-(t**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    expected = np.zeros((41, 41))
    expected[14:27, 14:27] = np.outer(kernel, kernel)
    np.testing.assert_allclose(ops.blur(impulse, 1.5)[..., 1], expected, atol=1e-15)
    np.testing.assert_allclose(ops.blur(np.full((9, 9, 3), 0.3), 2.0), 0.3, atol=1e-15)
    for sigma in (0.5, 1.0, 2.0):
        difference = np.abs(ops.blur(IMAGE, sigma) * 255 - ops.pillow_blur(BYTES, sigma))
        assert difference.mean() <= 1.5  # three box passes are not quite a Gaussian


def test_normalise():
    pixel = np.array([[[0.485 + 0.229, 0.456, 0.406 - 0.225]]])
    np.testing.assert_allclose(ops.normalise(pixel), [[[1.0, 0.0, -1.0]]], atol=1e-14)


@pytest.mark.parametrize("H, W", [(375, 500), (500, 333), (32, 32), (100, 600)])
@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.08, 1.0)])
def test_crops_follow_their_distribution(H, W, scale):
    n = 4000
    top, left, h, w, tries = draws.crops(7, n, H, W, scale).T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + h <= H).all() and (left + w <= W).all()
    area, log_aspect, fits = draws.accepted(H, W, scale)
    chance, error = fits.mean(), math.sqrt(fits.mean() * (1 - fits.mean()) / n)
    assert abs((tries == 1).mean() - chance) <= 4 * error + 1e-3
    rate = (tries > 10).mean()
    error = math.sqrt(max(rate * (1 - rate), 1 / n) / n)
    assert abs(rate - draws.expected_fallback_rate(H, W, scale)) <= 4 * error
    for drawn, grid in ((h * w / (H * W), area), (np.log(w / h), log_aspect)):
        values, expected = drawn[tries <= 10], np.broadcast_to(grid, fits.shape)[fits]
        # Rounding of w and h moves the means by about one part in the crop's side.
        error = expected.std() / math.sqrt(len(values))
        assert abs(values.mean() - expected.mean()) <= 4 * error + 2e-3


def test_crop_corner_is_uniform_and_fallback_central():
    rng = np.random.default_rng(1)
    rows = np.array([draws.crop(rng, 4, 4, (0.5, 0.6), (1.0, 1.0 + 1e-9)) for _ in range(3000)])
    assert (rows[:, 2:4] == 3).all()
    assert np.bincount(rows[:, 0]).tolist() == pytest.approx([1500, 1500], abs=120)
    assert draws.fallback(100, 600) == (0, 233, 100, 133)
    assert draws.fallback(600, 100) == (233, 0, 133, 100)
    assert draws.fallback(100, 100) == (0, 0, 100, 100)


def test_schedules():
    steps = [schedules.step_per_epoch(e, 0.03) for e in (0, 119, 120, 159, 160, 199)]
    assert steps == pytest.approx([0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003])
    cosine = [schedules.cosine_per_epoch(e, 0.03, 200) for e in (0, 50, 50.9, 100, 199)]
    last = 0.015 * (1 + math.cos(math.pi * 0.995))
    assert cosine == pytest.approx([0.03, 0.015 * (1 + 0.5**0.5), cosine[1], 0.015, last])
    assert schedules.cosine_per_step(50, 1.0, 100) == pytest.approx(0.5)
    decays = [schedules.exponential(s, 0.12) for s in (0, 62_499, 62_500, 125_000)]
    assert decays == pytest.approx([0.12, 0.12, 0.108, 0.0972])
    warm = [schedules.linear_warmup(s, 0.4, 4) for s in range(6)]
    assert warm == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert schedules.linear_warmup(0, 0.4, 0) == 0.4
