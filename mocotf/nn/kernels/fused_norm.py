"""Batch norm on a CPU, with the sum and the ReLU that follow it, in few passes over memory.

Two make the result and two its gradient, however many groups of the batch have statistics of their own.
TensorFlow writes what it normalises and the sum reads it again; and groups would have to be taken
apart and put together.
"""

import math

import tensorflow as tf

ROWS = 16  # pixels that are added before TensorFlow, slower, sums what is left


def normalize(x, gamma, beta, epsilon, *, groups=1, shortcut=None, relu=False):
    """Returns γ (x - μ) / √(σ² + ε) + β [+ shortcut], none below 0 if `relu`; μ and the biased σ².

    Args:
        x: float32, or what a CPU computes in float32, `[n, H, W, C]`, H, W and C known.
        gamma, beta: float32 `[C]`, tensors.
        groups: contiguous, equal slices of the batch, whose μ and σ² are `[groups, C]`.
        shortcut: of x's shape and dtype.
    """
    rows = _rows(x.shape, groups)

    def in_rows(x):
        return tf.reshape(x, [groups, -1, rows, x.shape[-1]])

    @tf.custom_gradient
    def run(x, gamma, beta, *shortcut):
        mean, variance = _moments(x, in_rows(x))
        deviation = tf.sqrt(variance + epsilon)
        affine = mean, gamma / deviation, beta
        y = _affine(in_rows(x), *affine, relu, *map(in_rows, shortcut))
        y = tf.reshape(y, tf.shape(x))

        def gradient(dy, *_):
            d = tf.raw_ops.ReluGrad(gradients=dy, features=y) if relu and shortcut else dy
            # Without a shortcut what the ReLU let through is computed again: cheaper than to read y.
            inputs = in_rows(x), in_rows(d), *affine, relu and not shortcut
            mean_d, covariance = _mean(_gradient_sums(*inputs), rows)
            dx = _gradient(*inputs, mean_d, covariance / (variance + epsilon))
            count = tf.cast(tf.size(x) // tf.size(mean), tf.float32)
            dgamma = count * tf.reduce_sum(covariance / deviation, [0, 1, 2])
            dbeta = count * tf.reduce_sum(mean_d, [0, 1, 2])
            return tf.reshape(dx, tf.shape(x)), dgamma, dbeta, *(d for _ in shortcut)

        statistics = (tf.reshape(value, [groups, -1]) for value in (mean, variance))
        return (y, *statistics), gradient

    return run(x, gamma, beta, *(() if shortcut is None else (shortcut,)))


def _rows(shape, groups):
    """Returns how many pixels are added in one step: their number in a group is a multiple of it."""
    n, H, W, _ = shape
    return math.gcd((n // groups if n else 1) * H * W, ROWS)


def _moments(x, pixels):
    """Returns the mean and the biased variance of each channel and group, having read x once."""
    groups, _, rows, C = pixels.shape
    # Squares are of differences from about the mean, so that they do not cancel.
    centres = tf.cast(x[:, x.shape[1] // 2, x.shape[2] // 2], tf.float32)
    about = tf.reduce_mean(tf.reshape(centres, [groups, -1, 1, C]), 1, keepdims=True)
    mean, square = _mean(_sums(pixels, about), rows)
    return about + mean, tf.maximum(square - tf.square(mean), 0)


def _mean(sums, rows):
    """Returns two means of pixels, `[groups, 1, 1, C]`, of sums of `rows` pixels, complex numbers."""
    mean = tf.reduce_mean(sums, axis=1)[:, None, None] / rows
    return tf.math.real(mean), tf.math.imag(mean)


# XLA makes one loop of each of these. They take x `[groups, pixels / rows, rows, C]`. Two sums are one
# loop only if they are the parts of complex numbers, `[groups, pixels / rows, C]`.


@tf.function(jit_compile=True, autograph=False)
def _sums(x, about):
    """Returns sums over rows of differences, and of their squares."""
    differences = [x - about[:, :, 0] for x in _float32(x)]
    return tf.complex(tf.add_n(differences), tf.add_n([tf.square(d) for d in differences]))


@tf.function(jit_compile=True, autograph=False)
def _affine(x, mean, gain, beta, relu, *shortcut):
    y = _line(tf.cast(x, tf.float32), mean, gain, beta)
    y = tf.add_n([y, *(tf.cast(s, tf.float32) for s in shortcut)])
    return tf.cast(tf.nn.relu(y) if relu else y, x.dtype)


@tf.function(jit_compile=True, autograph=False)
def _gradient_sums(x, dy, mean, gain, beta, relu):
    """Returns sums over rows of the gradient, and of its products with x's differences."""
    affine = mean[:, :, 0], gain[:, :, 0], beta
    pairs = zip(_float32(x), _float32(dy), strict=True)
    pairs = [(x - affine[0], _let_through(x, d, *affine) if relu else d) for x, d in pairs]
    return tf.complex(tf.add_n([d for _, d in pairs]), tf.add_n([x * d for x, d in pairs]))


@tf.function(jit_compile=True, autograph=False)
def _gradient(x, dy, mean, gain, beta, relu, mean_d, slope):
    dtype, (x, d) = x.dtype, (tf.cast(value, tf.float32) for value in (x, dy))
    if relu:
        d = _let_through(x, d, mean, gain, beta)
    return tf.cast(gain * (d - mean_d - (x - mean) * slope), dtype)


def _float32(x):
    """Returns each of the rows as float32."""
    if x.dtype != tf.bfloat16:
        return [tf.cast(row, tf.float32) for row in tf.unstack(x, axis=2)]
    # XLA would make float32 of x as a whole first, and write it, as it takes no slices of bfloat16.
    halves = [tf.cast(row, tf.uint32) for row in tf.unstack(tf.bitcast(x, tf.uint16), axis=2)]
    return [tf.bitcast(tf.bitwise.left_shift(half, 16), tf.float32) for half in halves]


def _let_through(x, d, mean, gain, beta):
    return tf.where(_line(x, mean, gain, beta) > 0, d, 0)


def _line(x, mean, gain, beta):
    return (x - mean) * gain + beta
