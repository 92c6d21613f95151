"""The stem's max-pool against PyTorch's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.nn.max_pool import MaxPool


def relu_of_few_values(shape, dtype):
    """Returns what a ReLU might, with many equals in most windows."""
    return tf.cast(tf.nn.relu(np.random.default_rng(0).integers(-3, 4, shape)), dtype)


def pooled(x, weights, training):
    """Returns the maxima, and the gradient of their weighted sum for x, as float64 arrays."""
    layer = MaxPool(dtype=x.dtype.name)

    signature = [tf.TensorSpec([None, *x.shape[1:]], x.dtype), tf.TensorSpec(weights.shape, x.dtype)]

    @tf.function(input_signature=signature)
    def run(x, weights):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            total = tf.reduce_sum(y * weights)
        return y, tape.gradient(total, x)

    return [tf.cast(value, tf.float64).numpy() for value in run(x, weights)]


def torch_pooled(x, weights):
    x = torch.tensor(np.float64(x).transpose(0, 3, 1, 2), requires_grad=True)
    y = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    (y * torch.tensor(np.float64(weights).transpose(0, 3, 1, 2))).sum().backward()
    return [value.detach().numpy().transpose(0, 2, 3, 1) for value in (y, x.grad)]


@pytest.mark.parametrize(
    ("H", "W", "dtype", "training"),
    [
        (2, 2, "float16", True), (8, 10, "bfloat16", True), (7, 8, "float32", True),
        (5, 3, "float64", True), (7, 8, "bfloat16", False), (8, 10, "float32", False),
    ],
)  # fmt: skip
def test_maxima_and_gradients_are_pytorchs(H, W, dtype, training):
    x = relu_of_few_values([3, H, W, 5], dtype)
    h, w = (H + 1) // 2, (W + 1) // 2
    weights = tf.reshape(tf.range(3 * h * w * 5) % 7 - 3, [3, h, w, 5])
    weights = tf.cast(weights, dtype)
    y, dx = pooled(x, weights, training)
    torch_y, torch_dx = torch_pooled(x, weights)
    np.testing.assert_array_equal(y, torch_y)
    passes = np.float64(x) > 0  # the ReLU lets through; of a window of zeros any may be the first
    np.testing.assert_array_equal(dx * passes, torch_dx * passes)
    assert y.any() and (dx * passes).any()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_what_is_not_finite_and_the_smallest_values_stay(dtype):
    x = np.zeros([1, 6, 6, 1], "float32")
    x[0, 0, 0], x[0, 0, 3], x[0, 3, 0], x[0, 5, 5] = np.nan, np.inf, 2.0**-126, -0.0
    y = MaxPool(dtype=dtype)(tf.cast(x, dtype), training=True)
    y = tf.cast(y, tf.float32).numpy()[0, :, :, 0]
    np.testing.assert_array_equal(y[0, 1:], np.inf)
    assert np.isnan(y[0, 0]) and y[1, 0] == y[2, 0] == 2.0**-126 and not y[1:, 1:].any()


def test_training_takes_none_of_the_operators_that_need_a_padded_copy():
    @tf.function(input_signature=[tf.TensorSpec([8, 32, 32, 16])])
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = MaxPool()(x, training=True)
        return tape.gradient(y, x)

    operators = {op.type for op in run.get_concrete_function().graph.get_operations()}
    assert not operators & {"Pad", "MaxPool", "MaxPoolGrad"}


def test_it_is_a_layer_that_can_be_saved(tmp_path):
    images = keras.Input([8, 8, 2])
    keras.Model(images, MaxPool(name="pool")(images)).save(tmp_path / "pool.keras")
    x = relu_of_few_values([1, 8, 8, 2], "float32")
    loaded = keras.models.load_model(tmp_path / "pool.keras")
    np.testing.assert_array_equal(loaded(x), MaxPool()(x))
