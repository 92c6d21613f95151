"""The sum and ReLU in one pass against TensorFlow's two."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.nn.kernels.fused_norm import add_relu
from tests.nn.kernels.support import normal
from tests.nn.kernels.support import values_and_gradients


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_sum_and_relu(dtype):
    inputs = [normal([4, 5, 5, 3], seed, dtype) for seed in (1, 2)]
    ours = values_and_gradients(add_relu, *inputs)
    theirs = values_and_gradients(lambda x, y: tf.nn.relu(x + y), *inputs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
