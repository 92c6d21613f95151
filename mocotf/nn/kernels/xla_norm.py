"""Batch norm in a graph that XLA compiles whole: formulas that it makes the fewest passes of.

Two passes over x make the result and two its gradient: XLA fuses what is elementwise into the loops
that read and write, and takes the two sums of a reduction in one. `FusedBatchNormV3` costs a pass more
each time that a ReLU's gradient is written before it is summed, and slices and copies where the batch
has groups.
"""

import tensorflow as tf

from mocotf.nn import xla

PIXELS = (1, 2, 3)  # axes of x `[groups, n / groups, H, W, C]` that statistics are taken over


def normalize(x, gamma, beta, epsilon, *, groups=1, shortcut=None, relu=False):
    """Returns γ (x - μ) / √(σ² + ε) + β [+ shortcut], none below 0 if `relu`; μ and the biased σ².

    Args:
        x: float16, bfloat16, float32 or float64, `[n, H, W, C]`; computed in float32 at least.
        gamma, beta: `[C]`, tensors of the dtype that is computed in.
        groups: contiguous, equal slices of the batch, whose μ and σ² are `[groups, C]`.
        shortcut: of x's shape and dtype.
    """
    sides = [tf.shape(x)[i] if side is None else side for i, side in enumerate(x.shape)]
    apart = [groups, sides[0] // groups, *sides[1:]]

    def wide(x):
        return tf.cast(tf.reshape(x, apart), gamma.dtype)

    def narrow(y):
        return tf.cast(tf.reshape(y, sides), x.dtype)

    def line(x, gamma, beta, mean, deviation):
        return (wide(x) - mean) * (gamma / deviation) + beta

    @tf.custom_gradient
    def run(x, gamma, beta, *shortcut):
        mean, variance = _moments(wide(x))  # [groups, 1, 1, 1, C]
        deviation = tf.sqrt(variance + epsilon)
        affine = gamma, beta, mean, deviation
        y = line(x, *affine)
        y = tf.add_n([y, *map(wide, xla.kept(*shortcut) if shortcut else ())])
        y = narrow(tf.nn.relu(y) if relu else y)
        count = tf.cast(tf.size(x) // tf.size(mean), gamma.dtype)

        def let_through(dy, x, y):
            if not relu:
                return wide(dy)
            # Without a shortcut the result is computed again: x is read anyway, and y need not be.
            result = tf.reshape(y, apart) if shortcut else line(x, *affine)
            return tf.where(result > 0, wide(dy), tf.zeros([], gamma.dtype))

        def gradient(dy, *_):
            x_, dy_, *y_ = xla.kept(x, dy, *([y] if relu and shortcut else []))
            d = let_through(dy_, x_, *y_ or [None])
            sum_d, sum_product = _sums(d, d * (wide(x_) - mean))
            dgamma = tf.reduce_sum(sum_product / deviation, [0, *PIXELS])
            dbeta = tf.reduce_sum(sum_d, [0, *PIXELS])
            x_, dy_ = xla.kept(x_, narrow(d) if shortcut else dy_)
            d = wide(dy_) if shortcut else let_through(dy_, x_, None)
            slope = sum_product / (count * tf.square(deviation))
            dx = (gamma / deviation) * (d - sum_d / count - (wide(x_) - mean) * slope)
            return narrow(dx), dgamma, dbeta, *(dy_ for _ in shortcut)

        statistics = (tf.reshape(value, [groups, -1]) for value in (mean, variance))
        return (y, *statistics), gradient

    return run(x, gamma, beta, *(() if shortcut is None else (shortcut,)))


def _moments(x):
    """Returns the mean and the biased variance of each channel and group, having read x once."""
    # Squares are of differences from one of the values, so that they do not cancel.
    about = x[:, :1, x.shape[2] // 2 : x.shape[2] // 2 + 1, x.shape[3] // 2 : x.shape[3] // 2 + 1]
    difference = x - about
    count = tf.cast(tf.size(x) // tf.size(about), x.dtype)
    mean, square = (total / count for total in _sums(difference, tf.square(difference)))
    return about + mean, tf.maximum(square - tf.square(mean), 0)


def _sums(a, b):
    """Returns the sums over pixels of two tensors `[groups, n, H, W, C]`, `[groups, 1, 1, 1, C]`."""
    # As the parts of complex numbers, for XLA to take them in one reduction: else it would write first
    # what both have in common.
    sums = tf.reduce_sum(tf.complex(a, b), PIXELS, keepdims=True)
    return tf.math.real(sums), tf.math.imag(sums)
