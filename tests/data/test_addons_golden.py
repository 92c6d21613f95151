"""Operators against what tensorflow-addons made of the same images: tools/addons_golden.py wrote it."""

import os

import numpy as np
import pytest

from mocotf.data import color
from tests.data.support import in_planes

HERE = os.path.dirname(os.path.abspath(__file__))
PINS = os.path.join(HERE, "..", "..", "requirements-addons.txt")
with np.load(os.path.join(HERE, "golden", "addons.npz")) as file:
    GOLDEN = dict(file)
IMAGES = (GOLDEN["images"] / 255).astype(np.float32)
SIGMAS, FACTORS = GOLDEN["sigmas"], GOLDEN["factors"]
BLUR_TOLERANCE = 1e-6  # of 1: our float32 against tensorflow-addons in float64
# Of a level: tensorflow-addons rounds to whole levels. Results lie so densely between two levels
# that a factor off by .001 shows all the same.
BLEND_TOLERANCE = 0.5 + 2e-4


def jitter_with(op):
    """Returns (images, factor) → images of one operator of `jitter`."""

    def blend(images, factor):
        factors = np.repeat(factor[:, None], 4, axis=1)
        draw = np.zeros(len(images), np.float32)
        return in_planes(color.jitter)(images, draw, factors, np.eye(4)[op])

    return blend


BLENDS = {
    "blend": lambda images, factor: color.blend(images, images[::-1], factor),
    "brightness": jitter_with(color.BRIGHTNESS),
    "contrast": jitter_with(color.CONTRAST),
    "saturation": jitter_with(color.SATURATION),
}
blur = in_planes(color.blur)


def assert_blurs(blur, i):
    """Compares blur(images, sigma) with tensorflow-addons' result for the i-th sigma."""
    ours = blur(IMAGES, np.repeat(SIGMAS[i], len(IMAGES)))
    np.testing.assert_allclose(ours, GOLDEN["gaussian_filter2d"][i], rtol=0, atol=BLUR_TOLERANCE)


def assert_blends(blend, name, i):
    """Compares blend(images, factor) with tensorflow-addons' result for the i-th factor."""
    ours = blend(IMAGES, np.repeat(FACTORS[i], len(IMAGES))) * 255
    theirs = GOLDEN[name][i].astype(np.float32)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=BLEND_TOLERANCE)


def test_the_file_is_of_the_pinned_versions():
    with open(PINS) as lines:
        pins = [line.strip() for line in lines if not line.startswith("#")]
    assert sorted(GOLDEN["versions"]) == sorted(["python==3.11", *pins])


@pytest.mark.parametrize("i", range(len(SIGMAS)), ids=lambda i: f"sigma {SIGMAS[i]}")
def test_blur_is_gaussian_filter2d(i):
    assert_blurs(blur, i)


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("i", range(len(FACTORS)), ids=lambda i: f"factor {FACTORS[i]}")
def test_blends_are_blend(name, i):
    assert_blends(BLENDS[name], name, i)


def test_another_width_or_border_would_be_told(monkeypatch):
    def mirrored(images, sigma):
        padded = np.pad(images, [(0, 0), (8, 8), (8, 8), (0, 0)], mode="reflect")
        return blur(padded, sigma)[:, 8:-8, 8:-8]

    for wrong in (mirrored, lambda images, sigma: blur(images, sigma * np.float32(1.0001))):
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_blurs(wrong, -1)
    monkeypatch.setattr(color, "BLUR_RADIUS", 7)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_blurs(blur, -1)


@pytest.mark.parametrize("name", BLENDS)
def test_another_factor_would_be_told(name):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_blends(lambda images, factor: BLENDS[name](images, factor + np.float32(1e-3)), name, -1)


def test_tensorflow_s_gray_would_be_told(monkeypatch):
    monkeypatch.setattr(color, "LUMA", (0.2989, 0.587, 0.114))
    for name in ("contrast", "saturation"):
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_blends(BLENDS[name], name, -1)
