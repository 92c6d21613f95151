"""The faster operators against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.nn import hot


def values_and_gradients(function, *inputs):
    """Returns the output and the gradients of its sum, weighted, as float64 arrays."""

    @tf.function
    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
            weights = tf.cast(tf.reshape(tf.range(tf.size(y)) % 7 - 3, tf.shape(y)), y.dtype)
            total = tf.reduce_sum(y * weights)
        return y, *tape.gradient(total, inputs)

    return [tf.cast(value, tf.float64).numpy() for value in run(*inputs)]


def normal(shape, seed, dtype):
    return tf.cast(tf.random.stateless_normal(shape, [seed, 0]), dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_sum_and_relu(dtype):
    inputs = [normal([4, 5, 5, 3], seed, dtype) for seed in (1, 2)]
    ours = values_and_gradients(hot.add_relu, *inputs)
    theirs = values_and_gradients(lambda x, y: tf.nn.relu(x + y), *inputs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("side", [6, 7, 17])  # few pixels, an odd number, many
@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(1, 1, "same"), (1, 2, "valid"), (3, 1, "same"), (3, 2, "valid")],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 1e-2), ("float32", 1e-5)])
def test_convolution(dtype, tolerance, size, stride, padding, side):
    x, kernel = normal([4, side, side, 8], 1, dtype), normal([size, size, 8, 16], 2, dtype)
    ours = values_and_gradients(lambda x, k: hot.conv2d(x, k, stride, padding), x, kernel)
    theirs = values_and_gradients(lambda x, k: tf.nn.conv2d(x, k, stride, padding.upper()), x, kernel)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())
