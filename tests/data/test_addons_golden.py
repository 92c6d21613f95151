"""Operators against what tensorflow-addons made of the same images: tools/addons_golden.py wrote it."""

import os

import numpy as np
import pytest

from mocotf.data.views import color
from tests.data.support import in_planes
from tests.data.support import jitter_with

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
BLENDS = {
    "blend": lambda images, factor: color.blend(images, images[::-1], factor),
    "brightness": jitter_with(color.BRIGHTNESS),
    "contrast": jitter_with(color.CONTRAST),
    "saturation": jitter_with(color.SATURATION),
}


def test_the_file_is_of_the_pinned_versions():
    with open(PINS) as lines:
        pins = [line.strip() for line in lines if not line.startswith("#")]
    assert sorted(GOLDEN["versions"]) == sorted(["python==3.11", *pins])


@pytest.mark.parametrize("i", range(len(SIGMAS)), ids=lambda i: f"sigma {SIGMAS[i]}")
def test_blur_is_gaussian_filter2d(i):
    ours = in_planes(color.blur)(IMAGES, np.repeat(SIGMAS[i], len(IMAGES)))
    np.testing.assert_allclose(ours, GOLDEN["gaussian_filter2d"][i], rtol=0, atol=BLUR_TOLERANCE)


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("i", range(len(FACTORS)), ids=lambda i: f"factor {FACTORS[i]}")
def test_blends_are_blend(name, i):
    ours = BLENDS[name](IMAGES, np.repeat(FACTORS[i], len(IMAGES))) * 255
    theirs = GOLDEN[name][i].astype(np.float32)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=BLEND_TOLERANCE)
