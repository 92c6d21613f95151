"""The gradient of a ResNet's max-pool for XLA, whose own on a GPU scatters it by atomic operations.

A byte a result is kept for it: which of the window's values is the first as large as the maximum.
"""

import tensorflow as tf


def max_pool(pool, x):
    """Returns `pool(x)`, with a gradient that gathers.

    Args:
        pool: takes the maxima of 3×3 windows, stride 2, padded by 1 with zeros on every side.
        x: float16, bfloat16 or float32, `[n, H, W, C]`, none below 0; H and W known and even.
    """

    @tf.custom_gradient
    def run(x):
        y = pool(x)
        first = _first(x, y)
        return y, lambda dy: _gradient(first, dy)

    return run(x)


def _first(x, y):
    """Returns which of its window's taps, 0 to 8 row by row, is the first as large as the maximum y."""
    H, W = x.shape[1:3]
    x = tf.pad(x, [[0, 0], [1, 0], [1, 0], [0, 0]])
    first = tf.fill(tf.shape(y), tf.constant(8, tf.uint8))
    for tap in reversed(range(8)):
        i, j = divmod(tap, 3)
        equal = x[:, i : i + H - 1 : 2, j : j + W - 1 : 2] == y
        first = tf.where(equal, tf.constant(tap, tf.uint8), first)
    return first


def _gradient(first, dy):
    """Returns x's gradient, of the first tap of each window and the gradient for its maximum."""

    def given(tap, down=0, right=0):
        """Returns what windows, or those so much further on, give to the value at one of their taps."""
        values = tf.where(first == tap, dy, tf.zeros([], dy.dtype))[:, down:, right:]
        return tf.cast(tf.pad(values, [[0, 0], [0, down], [0, right], [0, 0]]), tf.float32)

    even = given(4), given(5) + given(3, 0, 1)
    odd = given(7) + given(1, 1), given(8) + given(6, 0, 1) + given(2, 1) + given(0, 1, 1)
    # Of rows, of columns.
    dx = tf.stack([tf.stack(row, axis=3) for row in (even, odd)], axis=2)
    _, h, w, C = dy.shape
    return tf.cast(tf.reshape(dx, [-1, 2 * h, 2 * w, C]), dy.dtype)
