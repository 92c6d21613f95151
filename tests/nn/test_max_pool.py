"""The stem's max-pool against PyTorch's, and its gradient for XLA too."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.nn import xla
from mocotf.nn.max_pool import MaxPool
from tests.nn.kernels.support import operators
from tests.nn.kernels.support import values_and_gradients
from tests.oracles.small import from_torch
from tests.oracles.small import to_torch


def relu_of_few_values(shape, dtype):
    """Returns what a ReLU might, with many equals in most windows."""
    return tf.cast(tf.nn.relu(np.random.default_rng(0).integers(-3, 4, shape)), dtype)


@pytest.mark.parametrize(
    ("H", "W", "dtype", "compiled_whole"),
    [
        (2, 2, "float16", True), (8, 10, "bfloat16", True), (8, 10, "float32", True),
        (7, 8, "float32", True), (5, 3, "float64", False), (8, 10, "float32", False),
    ],
)  # fmt: skip
def test_maxima_and_gradients_are_pytorchs(H, W, dtype, compiled_whole):
    x = relu_of_few_values([3, H, W, 5], dtype)
    layer, signature = MaxPool(dtype=dtype), [tf.TensorSpec([None, H, W, 5], dtype)]
    with xla.compiled_whole(compiled_whole):
        y, dx = values_and_gradients(lambda x: layer(x, training=True), x, signature=signature)
    x = np.float64(x)
    torch_x = to_torch(x).requires_grad_()
    torch_y = torch.nn.functional.max_pool2d(torch_x, 3, 2, 1)
    weights = to_torch((np.arange(y.size) % 7 - 3).reshape(y.shape))
    (torch_dx,) = torch.autograd.grad((torch_y * weights).sum(), torch_x)
    np.testing.assert_array_equal(y, from_torch(torch_y))
    passes = x > 0  # the ReLU lets through; of a window of zeros any may be the first
    np.testing.assert_array_equal(dx * passes, from_torch(torch_dx) * passes)
    assert y.any() and (dx * passes).any()


def test_what_xla_compiles_has_no_scatter():
    def gradient(x):
        return tf.gradients(MaxPool()(x, training=True), x)

    with xla.compiled_whole():
        assert "MaxPoolGrad" not in operators(gradient, tf.TensorSpec([8, 32, 32, 16]))


def test_it_is_a_layer_that_can_be_saved(tmp_path):
    images = keras.Input([8, 8, 2])
    keras.Model(images, MaxPool(name="pool")(images)).save(tmp_path / "pool.keras")
    x = relu_of_few_values([1, 8, 8, 2], "float32")
    loaded = keras.models.load_model(tmp_path / "pool.keras")
    np.testing.assert_array_equal(loaded(x), MaxPool()(x))
