"""Weights trained on RGB, for images of other channels."""

import numpy as np
import pytest

from mocotf.errors import UserError
from mocotf.nn.stem_channels import adapt_stem

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
OTHER = np.ones([4], np.float32)


def adapted(kernel, channels, **changes):
    values = {"conv": kernel, "bias": OTHER, "only in the file": OTHER}
    shapes = {"conv": [3, 3, channels, 4], "bias": (4,)} | changes
    found = adapt_stem(values, shapes, "the file")
    assert found["bias"] is OTHER and found.keys() == values.keys()
    return found["conv"]


def test_channels_repeat_and_keep_the_scale_as_timm_has_it(caplog):
    R, G, B = KERNEL.transpose(2, 0, 1, 3)
    for channels, expected in (
        (1, [R + G + B]),
        (2, [1.5 * R, 1.5 * G]),
        (4, [0.75 * R, 0.75 * G, 0.75 * B, 0.75 * R]),
        (6, [R / 2, G / 2, B / 2] * 2),
    ):
        found = adapted(KERNEL, channels)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.stack(expected, 2), rtol=1e-6)
        assert f"the file: its first convolution, of RGB, is adapted to {channels} " in caplog.text


def test_what_fits_or_is_of_another_architecture_stays_as_it_is(caplog):
    assert adapted(KERNEL, 3) is KERNEL
    assert adapted(KERNEL, 5, conv=(1, 1, 5, 4)) is KERNEL
    assert adapted(KERNEL, 5, bias=(5,)) is KERNEL
    assert not caplog.text


def test_pytorchs_kernels_have_their_channels_elsewhere():
    found = adapt_stem({"w": KERNEL.transpose(3, 2, 0, 1)}, {"w": (4, 5, 3, 3)}, "the file", axis=1)
    np.testing.assert_array_equal(found["w"].transpose(2, 3, 1, 0), adapted(KERNEL, 5))


@pytest.mark.parametrize("channels", [3, 5])
def test_from_other_channels_than_rgb_it_is_refused(channels):
    with pytest.raises(
        UserError, match=f"file: was trained on images of 4 channels; expected {channels}"
    ):
        adapted(np.ones([3, 3, 4, 4]), channels)
