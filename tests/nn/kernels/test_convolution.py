"""Convolutions as the policy has them computed, against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.nn.kernels import convolution
from mocotf.nn.kernels import policy
from mocotf.nn.resnet import Conv2D
from tests.nn.kernels.support import normal
from tests.nn.kernels.support import operators
from tests.nn.kernels.support import values_and_gradients


def convolve(x, kernel, stride, padding):
    """Returns what a layer does in training."""
    ways = policy.convolution_for(x, kernel.shape, stride, padding, training=True)
    return convolution.convolve(ways or convolution.direct(stride, padding), x, kernel)


POINTWISE, SHORTCUT, SAME, STRIDED = (1, 1, "same"), (1, 2, "valid"), (3, 1, "same"), (3, 2, "valid")
TOLERANCE = {"bfloat16": 1e-2, "float32": 1e-5}


@pytest.mark.parametrize(
    ("kind", "channels", "side", "dtype"),  # sides of few pixels, an odd number, many
    [
        (POINTWISE, 8, 6, "float32"), (POINTWISE, 64, 7, "float32"), (POINTWISE, 128, 17, "float32"),
        (POINTWISE, 128, 6, "float32"), (POINTWISE, 8, 17, "bfloat16"),
        # Of narrower shortcuts TensorFlow's own gradient writes beyond its memory.
        (SHORTCUT, 64, 17, "float32"), (SHORTCUT, 128, 7, "float32"), (SHORTCUT, 64, 6, "bfloat16"),
        (SAME, 8, 17, "float32"), (SAME, 64, 6, "float32"), (SAME, 128, 7, "float32"),
        (SAME, 128, 17, "float32"), (SAME, 8, 6, "bfloat16"), (SAME, 64, 17, "bfloat16"),
        (STRIDED, 8, 6, "float32"), (STRIDED, 64, 7, "float32"), (STRIDED, 128, 17, "float32"),
        (STRIDED, 128, 7, "bfloat16"),
    ],
)  # fmt: skip
def test_convolution(kind, channels, side, dtype, monkeypatch):
    if dtype == "float32":  # on a CPU that more is done for
        monkeypatch.setattr(policy, "_cpu_has", lambda *names: "avx2" in names)
    size, stride, padding = kind
    x = normal([4, side, side, channels], 1, dtype)
    held = x, normal([size, size, channels, channels + 8], 2, dtype)
    ours = values_and_gradients(lambda x, k: convolve(x, k, stride, padding), *held)
    theirs, exact = (
        values_and_gradients(
            lambda x, k: tf.nn.conv2d(x, k, stride, padding.upper()), *(tf.cast(v, to) for v in held)
        )
        for to in (dtype, "float64")
    )
    for a, b, e in zip(ours, theirs, exact, strict=True):
        # TensorFlow's own bfloat16 is further from exact where a CPU has no units for it.
        assert np.abs(a - e).max() <= max(TOLERANCE[dtype] * np.abs(e).max(), np.abs(b - e).max())


@pytest.mark.parametrize(
    ("kind", "dtype", "rounding"),
    [(POINTWISE, "bfloat16", 2**-8), (SAME, "float16", 2**-11), (STRIDED, "bfloat16", 2**-8)],
)
def test_what_a_cpu_has_no_instructions_for_it_computes_in_float32(kind, dtype, rounding, monkeypatch):
    size, stride, padding = kind
    monkeypatch.setitem(policy.INSTRUCTIONS, tf.as_dtype(dtype), "none")
    held = [normal(shape, 1, dtype) for shape in ([4, 9, 9, 128], [size, size, 128, 128])]
    ours, exact = (
        values_and_gradients(
            lambda x, k: convolve(x, k, stride, padding), *(tf.cast(value, to) for value in held)
        )
        for to in (dtype, "float64")
    )
    for a, e in zip(ours, exact, strict=True):
        np.testing.assert_allclose(a, e, rtol=1.01 * rounding, atol=1e-5 * np.abs(e).max())


@pytest.mark.parametrize("channels", [4, 8])  # fewer than a register of 8 or of 16 floats holds
def test_narrow_kernels_of_a_shortcut_get_their_gradient_without_onednn(channels):
    inputs = [normal(shape, 1, "float32") for shape in ([16, 32, 32, channels], [1, 1, channels, 16])]

    def gradient(x, kernel):
        return tf.gradients(convolve(x, kernel, 2, "valid"), kernel)

    # Whose is wrong, but not every time.
    assert "Conv2DBackpropFilter" not in operators(gradient, *inputs)
    *_, ours = values_and_gradients(lambda x, kernel: convolve(x, kernel, 2, "valid"), *inputs)
    *_, exact = values_and_gradients(
        lambda x, kernel: tf.nn.conv2d(x, kernel, 2, "VALID"), *(tf.cast(x, "float64") for x in inputs)
    )
    np.testing.assert_allclose(ours, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize(
    ("channels", "training", "fewer"), [(128, True, True), (128, False, False), (64, True, False)]
)
def test_wide_layers_convolve_by_fewer_products_in_training(channels, training, fewer):
    layer = Conv2D(channels, 3, padding="same", use_bias=False)
    layer.build([None, None, None, channels])
    call = tf.function(lambda x: layer(x, training=training))
    assert ("Conv2D" not in operators(call, tf.TensorSpec([None, 7, 7, channels]))) == fewer
    x = normal([2, 7, 7, channels], 1, "float32")
    expected = tf.nn.conv2d(x, layer.kernel.value, 1, "SAME").numpy()
    np.testing.assert_allclose(call(x), expected, atol=1e-5)
