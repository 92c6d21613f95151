"""Batch norm on a CPU, in one pass over memory with the sum and the ReLU that follow it.

TensorFlow's writes what it normalises, and the sum reads it again.
"""

import math

import tensorflow as tf

MANY_CHANNELS = 64
ROWS = 8  # pixels that are added before TensorFlow, slower, sums what is left


def is_faster_for(x):
    """Returns whether `normalize` takes x, and makes up for the time that it takes to compile."""
    return x.dtype == tf.float32 and x.shape[-1] >= MANY_CHANNELS


def normalize(x, gamma, beta, epsilon, shortcut=None, relu=False):
    """Returns γ (x - μ) / √(σ² + ε) + β [+ shortcut], none below 0 if `relu`; μ and the biased σ².

    Args:
        x: float32 `[n, H, W, C]`, C known.
        gamma, beta: float32 `[C]`, tensors.
        shortcut: of the shape of x.
    """

    @tf.custom_gradient
    def run(x, gamma, beta, *shortcut):
        rows = _rows(x)
        pixels = tf.reshape(x, [-1, rows, x.shape[-1]])
        mean = tf.reduce_mean(_sums(pixels, rows), 0) / rows
        variance = tf.reduce_mean(_squares(pixels, mean, rows), 0) / rows
        y = _affine(x, mean, gamma * tf.math.rsqrt(variance + epsilon), beta, relu, *shortcut)

        def gradient(dy, *_):
            if relu:
                dy = tf.raw_ops.ReluGrad(gradients=dy, features=y)
            dx, dgamma, dbeta, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=dy,
                x=x,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=[],
                epsilon=epsilon,
            )
            return dx, dgamma, dbeta, *(dy for _ in shortcut)

        return (y, mean, variance), gradient

    return run(x, gamma, beta, *(() if shortcut is None else (shortcut,)))


def _rows(x):
    """Returns how many pixels in a row of x are taken together."""
    n, H, W, _ = (side or 1 for side in x.shape)
    return math.gcd(n * H * W, ROWS)


@tf.function(jit_compile=True, autograph=False)
def _sums(x, rows):
    return tf.add_n([x[:, i] for i in range(rows)])


@tf.function(jit_compile=True, autograph=False)
def _squares(x, mean, rows):
    return tf.add_n([tf.square(x[:, i] - mean) for i in range(rows)])


@tf.function(jit_compile=True, autograph=False)
def _affine(x, mean, gain, beta, relu, *shortcut):
    y = tf.add_n([(x - mean) * gain + beta, *shortcut])
    return tf.nn.relu(y) if relu else y
