"""Operators of the training step that a CPU computes faster than TensorFlow's own, same results.

Elsewhere layers use TensorFlow's, and outside of training, but for dtypes that the CPU has no
instructions for.
"""

import contextlib
import contextvars

import llvmlite.binding
import tensorflow as tf

from mocotf.nn import winograd
from mocotf.nn import xla

FEW_PIXELS = 7 * 7  # of an image, as in a ResNet's last stage
MANY_CHANNELS = 128  # from which transforms and copies take less time than they save
MANY_FOR_KERNELS = 64  # likewise, for Winograd's gradient of the kernel, which saves more

# What oneDNN needs of a CPU to compute in a dtype; without, TensorFlow takes ten times as long as in
# float32.
INSTRUCTIONS = {tf.bfloat16: "avx512f", tf.float16: "avx512fp16"}

_elsewhere = contextvars.ContextVar("elsewhere", default=False)


@contextlib.contextmanager
def plain():
    """Within it, layers use TensorFlow's own operators: for graphs that other machines are to run."""
    token = _elsewhere.set(True)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def on_cpu():
    """Returns whether this process has no accelerator, its graphs are for itself, and XLA does not
    compile the one that is being built: it would take apart what is put together here."""
    if _elsewhere.get() or xla.compiles_this():
        return False
    return not any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def arithmetic(dtype):
    """Returns the dtype in which this CPU computes what layers hold in `dtype`: it, or float32."""
    needed = INSTRUCTIONS.get(dtype)
    native = needed is None or llvmlite.binding.get_host_cpu_features().get(needed)
    return dtype if native else tf.float32


@tf.custom_gradient
def add_relu(x, shortcut):
    """Returns max(x + shortcut, 0): in one pass over memory, where TensorFlow makes two."""
    z = _add_relu(x, shortcut)

    def gradient(dz):
        d = tf.raw_ops.ReluGrad(gradients=dz, features=z)
        return d, d

    return z, gradient


@tf.function(jit_compile=True, autograph=False)
def _add_relu(x, shortcut):
    return tf.nn.relu(x + shortcut)


def conv2d(x, kernel, stride, padding):
    """Returns `tf.nn.conv2d` of `x` `[n, H, W, Ci]` and `kernel` `[k, k, Ci, Co]`, both tensors.

    Where they are faster, it and its gradients are made of matrix products; which, has been measured
    (docs/performance.md).

    Args:
        padding: "same", with stride 1 only, or "valid".
    """
    forward, input_gradient, kernel_gradient = _ways(x, kernel.shape, stride, padding)

    @tf.custom_gradient
    def conv(x, kernel):
        def gradient(dy):
            return input_gradient(x, kernel, dy), kernel_gradient(x, kernel, dy)

        return forward(x, kernel), gradient

    return conv(x, kernel)


def _ways(x, shape, stride, padding):
    """Returns the fastest ways to a convolution and its gradients for the input and for the kernel.

    They take (x, kernel), and for the gradients the one for the result as well.
    """
    options = {"strides": [1, stride, stride, 1], "padding": padding.upper()}
    dtype = arithmetic(x.dtype)
    size, channels = shape[0], min(shape[2:])
    sides_known = None not in x.shape[1:3]
    winograd_fits = dtype == tf.float32 and size == 3 and stride == 1 and sides_known

    def forward(x, kernel):
        return tf.nn.conv2d(x, kernel, **options)

    def input_gradient(x, kernel, dy):
        if dtype == tf.float32 and size == 1 and stride == 1:
            dx = tf.matmul(tf.reshape(dy, [-1, dy.shape[-1]]), kernel[0, 0], transpose_b=True)
            return tf.reshape(dx, tf.shape(x))
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **options
        )

    def kernel_gradient(x, kernel, dy):
        few_pixels = sides_known and dy.shape[1] * dy.shape[2] <= FEW_PIXELS
        # Of narrow shortcuts, oneDNN's is wrong (docs/performance.md).
        shortcut = size == 1 and stride > 1
        faster = {
            tf.float32: channels >= MANY_CHANNELS and (stride > 1 or few_pixels),
            tf.bfloat16: size == 1 or few_pixels,
        }
        if shortcut or faster.get(dtype):
            return _kernel_gradient(x, dy, kernel.shape, stride, padding)
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=kernel.shape, out_backprop=dy, **options
        )

    ways = [_computed_in(dtype, way) for way in (forward, input_gradient, kernel_gradient)]
    if winograd_fits and channels >= MANY_CHANNELS:
        ways[0] = winograd.convolution
        ways[1] = lambda x, kernel, dy: winograd.input_gradient(dy, kernel)
    if winograd_fits and channels >= MANY_FOR_KERNELS:
        ways[2] = lambda x, kernel, dy: winograd.kernel_gradient(x, dy)
    return ways


def _computed_in(dtype, function):
    """Returns `function` of tensors of another dtype, whose it returns."""

    def run(*held):
        # Else Grappler would keep what the forward pass has cast until the gradient.
        with tf.control_dependencies(held[-1:]):
            inputs = [tf.cast(value, dtype) for value in held]
        return tf.cast(function(*inputs), held[0].dtype)

    return run


def _kernel_gradient(x, dy, shape, stride, padding):
    """Returns the gradient for a kernel of `shape`: a product of `x` and `dy` for each tap."""
    k, _, Ci, Co = shape
    if padding == "same":
        sides = [(k - 1) // 2, k // 2]
        x = tf.pad(x, [[0, 0], sides, sides, [0, 0]])
    H, W = (dy.shape[i] or tf.shape(dy)[i] for i in (1, 2))
    dy = tf.reshape(dy, [-1, Co])
    taps = [
        _every(stride, x[:, i : i + stride * H, j : j + stride * W]) for i in range(k) for j in range(k)
    ]
    products = [tf.matmul(tf.reshape(tap, [-1, Ci]), dy, transpose_a=True) for tap in taps]
    return tf.reshape(tf.stack(products), shape)


def _every(stride, x):
    """Returns x[:, ::stride, ::stride]."""
    n, H, W, C = (side or tf.shape(x)[i] for i, side in enumerate(x.shape))
    if stride == 1 or not all(isinstance(s, int) and s % stride == 0 for s in (H, W)):
        return x[:, ::stride, ::stride]
    # Ten times faster than with strides.
    x = tf.reshape(x, [n, H // stride, stride, W // stride, stride * C])
    return x[:, :, 0, :, :C]
