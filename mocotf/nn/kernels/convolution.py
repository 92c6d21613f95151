"""Convolutions whose gradients are made of matrix products, or that compute in a wider dtype."""

import typing

import tensorflow as tf


class Ways(typing.NamedTuple):
    """How y is computed of x `[n, H, W, Ci]` and a kernel `[k, k, Ci, Co]`, and of them and dy the
    gradients for both."""

    forward: typing.Callable
    input_gradient: typing.Callable
    kernel_gradient: typing.Callable


def convolve(ways, x, kernel):
    """Returns y of tensors `x` and `kernel`, which has its gradients as `ways` says."""

    @tf.custom_gradient
    def run(x, kernel):
        def gradient(dy):
            return ways.input_gradient(x, kernel, dy), ways.kernel_gradient(x, kernel, dy)

        return ways.forward(x, kernel), gradient

    return run(x, kernel)


def direct(stride, padding):
    """Returns TensorFlow's own ways."""
    options = {"strides": [1, stride, stride, 1], "padding": padding.upper()}

    def forward(x, kernel):
        return tf.nn.conv2d(x, kernel, **options)

    def input_gradient(x, kernel, dy):
        given = {"input_sizes": tf.shape(x), "filter": kernel, "out_backprop": dy}
        return tf.raw_ops.Conv2DBackpropInput(**given, **options)

    def kernel_gradient(x, kernel, dy):
        given = {"input": x, "filter_sizes": kernel.shape, "out_backprop": dy}
        return tf.raw_ops.Conv2DBackpropFilter(**given, **options)

    return Ways(forward, input_gradient, kernel_gradient)


def computed_in(dtype, way):
    """Returns a way for tensors of another dtype, which it returns too."""

    def run(*held):
        # Else Grappler would keep what the forward pass has cast until the gradient.
        with tf.control_dependencies(held[-1:]):
            inputs = [tf.cast(value, dtype) for value in held]
        return tf.cast(way(*inputs), held[0].dtype)

    return run


def kernel_products(stride, padding):
    """Returns the way to a kernel's gradient that is a product of x and dy for each tap.

    Args:
        padding: "same", with stride 1 or of 1×1 kernels only, or "valid".
    """

    def kernel_gradient(x, kernel, dy):
        k, _, Ci, Co = kernel.shape
        if padding == "same":
            sides = [(k - 1) // 2, k // 2]
            x = tf.pad(x, [[0, 0], sides, sides, [0, 0]])
        H, W = (dy.shape[i] or tf.shape(dy)[i] for i in (1, 2))
        dy = tf.reshape(dy, [-1, Co])
        taps = [x[:, i : i + stride * H, j : j + stride * W] for i in range(k) for j in range(k)]
        taps = [tf.reshape(_every(stride, tap), [-1, Ci]) for tap in taps]
        return tf.reshape([tf.matmul(tap, dy, transpose_a=True) for tap in taps], kernel.shape)

    return kernel_gradient


def _every(stride, x):
    """Returns x[:, ::stride, ::stride]."""
    n, H, W, C = (side or tf.shape(x)[i] for i, side in enumerate(x.shape))
    if stride == 1 or not all(isinstance(s, int) and s % stride == 0 for s in (H, W)):
        return x[:, ::stride, ::stride]
    # Ten times faster than with strides.
    x = tf.reshape(x, [n, H // stride, stride, W // stride, stride * C])
    return x[:, :, 0, :, :C]
