"""Winograd's convolution against TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.nn.kernels import winograd
from mocotf.nn.kernels.convolution import convolve
from tests.nn.kernels.support import normal
from tests.nn.kernels.support import values_and_gradients


def direct(x, kernel):
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def by_winograd(x, kernel):
    return convolve(winograd.WAYS, x, kernel)


@pytest.mark.parametrize(("H", "W"), [(6, 8), (7, 7), (5, 4), (1, 2)])
def test_it_computes_a_convolution_and_its_gradients(H, W):
    x, kernel = normal([3, H, W, 5], 1, "float64"), normal([3, 3, 5, 7], 2, "float64")
    ours = values_and_gradients(by_winograd, x, kernel)
    for a, b in zip(ours, values_and_gradients(direct, x, kernel), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12 * np.abs(b).max())


def test_in_float32_it_is_a_few_roundings_from_exact():
    x = tf.nn.relu(normal([4, 14, 14, 256], 1, "float32"))
    kernel = normal([3, 3, 256, 128], 2, "float32")
    ours = values_and_gradients(by_winograd, x, kernel)
    exact = values_and_gradients(direct, tf.cast(x, "float64"), tf.cast(kernel, "float64"))
    for a, b in zip(ours, exact, strict=True):
        assert np.linalg.norm(a - b) < 1e-6 * np.linalg.norm(b)
