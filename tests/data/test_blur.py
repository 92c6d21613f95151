"""Gaussian blur against the true Gaussian and against Pillow's approximation of it."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from mocotf.data import color
from tests.data.support import assert_close_levels
from tests.data.support import in_planes
from tests.data.support import photograph
from tests.measured import agree
from tests.oracles import pillow_ops

BYTES = np.stack([photograph(f"{name}.png", 96, 130) for name in ("astronaut", "coffee", "page")])
IMAGES = (BYTES / 255).astype(np.float32)
SIGMAS = [0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0]


def blur(images, *sigmas):
    return in_planes(color.blur)(images, np.array(sigmas, np.float32)).numpy()


@pytest.mark.parametrize("sigma", SIGMAS)
def test_blur_is_the_gaussian(sigma):
    for ours, image in zip(blur(IMAGES, sigma, sigma, sigma), IMAGES, strict=True):
        # The oracle cuts the kernel at 4 σ, where 6e-5 of the weight is left.
        exact = pillow_ops.blur(image, sigma)
        agree("image: blur, the true Gaussian's", np.abs(ours - exact).max(), 1e-4)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_blur_is_pillow_s_up_to_its_box_filters(sigma):
    for ours, image in zip(blur(IMAGES, sigma, sigma, sigma), BYTES, strict=True):
        assert_close_levels(
            ours * 255, pillow_ops.pillow_blur(image, sigma), 2, quantity="blur, Pillow's"
        )


def test_each_image_has_its_sigma():
    ours = blur(IMAGES, 0.4, 1.9, 1.1)
    for i, sigma in enumerate((0.4, 1.9, 1.1)):
        np.testing.assert_allclose(ours[i], blur(IMAGES[i : i + 1], sigma)[0], atol=1e-6)
        np.testing.assert_allclose(ours[i], pillow_ops.blur(IMAGES[i], sigma), atol=1e-4)


def test_sigma_0_changes_nothing():
    np.testing.assert_array_equal(blur(IMAGES, 0, 0, 0), IMAGES)


def test_blur_keeps_constant_images_and_images_smaller_than_its_kernel():
    flat = np.full([1, 40, 30, 3], 0.7, np.float32)
    np.testing.assert_allclose(blur(flat, 2), flat, atol=1e-6)
    small = IMAGES[:1, :5, :3]
    np.testing.assert_allclose(blur(small, 1.7)[0], pillow_ops.blur(small[0], 1.7), atol=1e-4)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_another_border_or_width_would_be_told(sigma):
    exact = pillow_ops.blur(IMAGES[1], sigma)
    for wrong in (
        ndimage.gaussian_filter(IMAGES[1], (sigma, sigma, 0), mode="constant"),
        ndimage.gaussian_filter(IMAGES[1], (sigma, sigma, 0), mode="mirror"),
        blur(IMAGES[1:2], sigma * 0.98)[0],
    ):
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(wrong, exact, atol=1e-4)


def test_sigma_may_be_a_tensor_of_a_graph():
    graph = tf.function(in_planes(color.blur))
    np.testing.assert_allclose(
        graph(tf.constant(IMAGES), tf.constant([0.4, 1.9, 1.1])), blur(IMAGES, 0.4, 1.9, 1.1), atol=1e-6
    )
