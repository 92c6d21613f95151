"""The gradient of a ResNet's max-pool for XLA, which would scatter it by atomic operations on a GPU.

A byte a result is kept for it: which of the window's values is the first as large as the maximum.
"""

import tensorflow as tf


def max_pool(pool, x):
    """Returns `pool(x)`, with a gradient that gathers.

    Args:
        pool: takes the maxima of 3×3 windows, stride 2, padded by 1 with zeros on every side.
        x: float16, bfloat16 or float32, `[n, H, W, C]`, none below 0; H and W even.
    """

    @tf.custom_gradient
    def run(x):
        y = pool(x)
        first = _first(x, y)
        return y, lambda dy: _gradient(first, dy)

    return run(x)


def _first(x, y):
    """Returns which of its window's taps, 0 to 8 row by row, is the first as large as the maximum y."""
    taps = [tap for row in _rows(x) for tap in _columns(row)]
    first = tf.fill(tf.shape(y), tf.constant(8, tf.uint8))
    for i, tap in reversed([*enumerate(taps[:8])]):
        first = tf.where(tap == y, tf.constant(i, tf.uint8), first)
    return first


def _rows(x):
    """Returns each window's three rows, their even and odd columns side by side."""
    n, H, W, C = (side or tf.shape(x)[i] for i, side in enumerate(x.shape))
    even, odd = tf.unstack(tf.reshape(x, [n, H // 2, 2, W // 2, 2 * C]), axis=2)
    return _before(odd, 1), even, odd


def _columns(row):
    even, odd = tf.split(row, 2, axis=3)
    return _before(odd, 2), even, odd


def _gradient(first, dy):
    """Returns x's gradient, of the first tap of each window and the gradient for its maximum."""

    def given(tap, *axes):
        """Returns what windows, those after them along these axes, give to the values at a tap."""
        values = tf.where(first == tap, dy, tf.zeros_like(dy))
        for axis in axes:
            values = _after(values, axis)
        return tf.cast(values, tf.float32)

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
