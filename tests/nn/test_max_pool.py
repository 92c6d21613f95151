"""The stem's max-pool against PyTorch's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.nn.max_pool import MaxPool
from tests.nn.test_hot import values_and_gradients
from tests.oracles.small import from_torch
from tests.oracles.small import to_torch


def relu_of_few_values(shape, dtype):
    """Returns what a ReLU might, with many equals in most windows."""
    return tf.cast(tf.nn.relu(np.random.default_rng(0).integers(-3, 4, shape)), dtype)


@pytest.mark.parametrize(
    ("H", "W", "dtype", "training"),
    [
        (2, 2, "float16", True), (8, 10, "bfloat16", True), (7, 8, "float32", True),
        (5, 3, "float64", True), (7, 8, "bfloat16", False), (8, 10, "float32", False),
    ],
)  # fmt: skip
def test_maxima_and_gradients_are_pytorchs(H, W, dtype, training):
    x = relu_of_few_values([3, H, W, 5], dtype)
    layer, signature = MaxPool(dtype=dtype), [tf.TensorSpec([None, H, W, 5], dtype)]
    y, dx = values_and_gradients(lambda x: layer(x, training=training), x, signature=signature)
    x = np.float64(x)
    torch_x = to_torch(x).requires_grad_()
    torch_y = torch.nn.functional.max_pool2d(torch_x, 3, 2, 1)
    weights = to_torch((np.arange(y.size) % 7 - 3).reshape(y.shape))
    (torch_dx,) = torch.autograd.grad((torch_y * weights).sum(), torch_x)
    np.testing.assert_array_equal(y, from_torch(torch_y))
    passes = x > 0  # the ReLU lets through; of a window of zeros any may be the first
    np.testing.assert_array_equal(dx * passes, from_torch(torch_dx) * passes)
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
