"""Gaussian blur against the true Gaussian and against Pillow's approximation of it."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.views import color
from tests.data.support import assert_close_levels
from tests.data.support import in_planes
from tests.data.support import photograph
from tests.measured import agree
from tests.oracles import pillow_ops

BYTES = np.stack([photograph(f"{name}.png", 96, 130) for name in ("astronaut", "coffee", "page")])
IMAGES = (BYTES / 255).astype(np.float32)


def blur(images, *sigmas):
    return in_planes(color.blur)(images, np.array(sigmas, np.float32)).numpy()


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0])
def test_blur_is_the_gaussian_and_pillow_s_up_to_its_box_filters(sigma):
    for ours, image, levels in zip(blur(IMAGES, *[sigma] * 3), IMAGES, BYTES, strict=True):
        # The oracle cuts the kernel at 4 σ, where 6e-5 of the weight is left.
        exact = pillow_ops.blur(image, sigma)
        agree("image: blur, the true Gaussian's", np.abs(ours - exact).max(), 1e-4)
        pillow = pillow_ops.pillow_blur(levels, sigma)
        assert_close_levels(ours * 255, pillow, 2, quantity="blur, Pillow's")


def test_each_image_has_its_sigma_in_a_graph_too():
    sigmas = np.float32([0.4, 1.9, 1.1])
    ours = blur(IMAGES, *sigmas)
    for result, image, sigma in zip(ours, IMAGES, sigmas, strict=True):
        np.testing.assert_allclose(result, blur(image[None], sigma)[0], atol=1e-6)
        np.testing.assert_allclose(result, pillow_ops.blur(image, sigma), atol=1e-4)
    graph = tf.function(in_planes(color.blur))
    np.testing.assert_allclose(graph(tf.constant(IMAGES), tf.constant(sigmas)), ours, atol=1e-6)


def test_sigma_0_changes_nothing():
    np.testing.assert_array_equal(blur(IMAGES, 0, 0, 0), IMAGES)


def test_blur_keeps_constant_images_and_images_smaller_than_its_kernel():
    flat = np.full([1, 40, 30, 3], 0.7, np.float32)
    np.testing.assert_allclose(blur(flat, 2), flat, atol=1e-6)
    small = IMAGES[:1, :5, :3]
    np.testing.assert_allclose(blur(small, 1.7)[0], pillow_ops.blur(small[0], 1.7), atol=1e-4)
