"""The max-pool of a ResNet's stem, on a CPU without copies.

TensorFlow's takes a padded copy, and keeps it for the gradient. A byte a result does.
"""

import functools

import keras
import tensorflow as tf

from mocotf.nn import hot
from mocotf.nn import xla

BITS = {tf.bfloat16: tf.int16, tf.float16: tf.int16, tf.float32: tf.int32}


@keras.saving.register_keras_serializable("mocotf")
class MaxPool(keras.layers.Layer):
    """Takes the maxima of 3×3 windows, stride 2, padded by 1 on every side, of what a ReLU returned.

    Call: `x` float `[n, H, W, C]`, none below 0; returns `[n, ⌈H / 2⌉, ⌈W / 2⌉, C]` of the same dtype.
    """

    strides = (2, 2)  # as layers of Keras's say it

    def call(self, x, training=False):
        sides_are_even = all(side is not None and side % 2 == 0 for side in x.shape[1:3])
        faster = hot.on_cpu() or xla.compiles_this()
        if training and faster and sides_are_even and x.dtype in BITS:
            return _max_pool(x)
        return _padded(x)


def _padded(x):
    # Zeros pad as well as -inf here: after a ReLU nothing is smaller.
    return tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")


@tf.custom_gradient
def _max_pool(x):
    y = _padded(x) if xla.compiles_this() else _maxima(x)
    first = _first(x, y)
    return y, lambda dy: _gradient(first, dy)


# XLA makes one loop of each of these. It takes no slices of bfloat16: they move bits. And floats not
# below 0 have the order of their bits.


@tf.function(jit_compile=True, autograph=False)
def _maxima(x):
    row = functools.reduce(tf.maximum, _rows(x))
    return tf.bitcast(functools.reduce(tf.maximum, _columns(row)), x.dtype)


@tf.function(jit_compile=True, autograph=False)
def _first(x, y):
    """Returns which of its window's taps, 0 to 8 row by row, is the first as large as the maximum y."""
    *taps, last = (tap for row in _rows(x) for tap in _columns(row))
    maxima = tf.bitcast(y, last.dtype)
    first = tf.fill(tf.shape(last), tf.constant(len(taps), last.dtype))
    for i, tap in reversed([*enumerate(taps)]):
        first = tf.where(tap == maxima, tf.constant(i, last.dtype), first)
    return tf.cast(first, tf.uint8)


def _rows(x):
    """Returns the bits of each window's three rows, their even and odd columns side by side."""
    n, H, W, C = (side or tf.shape(x)[i] for i, side in enumerate(x.shape))
    bits = tf.reshape(tf.bitcast(x, BITS[x.dtype]), [n, H // 2, 2, W // 2, 2 * C])
    even, odd = tf.unstack(bits, axis=2)
    return _before(odd, 1), even, odd


def _columns(row):
    even, odd = tf.split(row, 2, axis=3)
    return _before(odd, 2), even, odd


@tf.function(jit_compile=True, autograph=False)
def _gradient(first, dy):
    """Returns x's gradient, of the first tap of each window and the gradient for its maximum."""
    bits = tf.bitcast(dy, BITS[dy.dtype])

    def given(tap, *axes):
        """Returns what windows, those after them along these axes, give to the values at a tap."""
        places, values = first, bits
        for axis in axes:
            places, values = _after(places, axis), _after(values, axis)
        values = tf.where(places == tap, values, tf.zeros_like(values))
        return tf.cast(tf.bitcast(values, dy.dtype), tf.float32)

    even = given(4), given(5) + given(3, 2)
    odd = given(7) + given(1, 1), given(8) + given(6, 2) + given(2, 1) + given(0, 1, 2)
    # Of rows, of columns.
    dx = tf.stack([tf.stack(row, axis=3) for row in (even, odd)], axis=2)
    n, h, w, C = (side or tf.shape(dy)[i] for i, side in enumerate(dy.shape))
    return tf.cast(tf.reshape(dx, [n, 2 * h, 2 * w, C]), dy.dtype)


def _before(x, axis):
    """Returns what is before each place along an axis, 0 before the first."""
    return _moved(x, axis, [1, 0])


def _after(x, axis):
    return _moved(x, axis, [0, 1])


def _moved(x, axis, zeros):
    pads = [[0, 0]] * 4
    pads[axis] = zeros
    begin = [0] * 4
    begin[axis] = zeros[1]
    return tf.slice(tf.pad(x, pads), begin, tf.shape(x))
