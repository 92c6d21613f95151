"""Batch norm on a CPU, in one pass over memory with the sum and the ReLU that follow it.

TensorFlow's writes what it normalises, and the sum reads it again.
"""

import math

import tensorflow as tf

from mocotf.nn import hot

MANY_CHANNELS = 64
LARGE = 100_000  # values of an image; of a ResNet-50's layers at 224 pixels, all but 17 have as many
ROWS = 16  # pixels that are added before TensorFlow, slower, sums what is left


def is_faster_for(x):
    """Returns whether `normalize` takes x, and makes up for the time that it takes to compile."""
    if hot.arithmetic(x.dtype) != tf.float32 or None in x.shape[1:]:
        return False
    return x.shape[-1] >= MANY_CHANNELS and math.prod(x.shape[1:]) >= LARGE


def normalize(x, gamma, beta, epsilon, shortcut=None, relu=False):
    """Returns γ (x - μ) / √(σ² + ε) + β [+ shortcut], none below 0 if `relu`; μ and the biased σ².

    Args:
        x: float32, or what a CPU computes in float32, `[n, H, W, C]`, C known.
        gamma, beta: float32 `[C]`, tensors.
        shortcut: of x's shape and dtype.
    """

    @tf.custom_gradient
    def run(x, gamma, beta, *shortcut):
        mean, variance = _moments(x)
        y = _affine(x, mean, gamma * tf.math.rsqrt(variance + epsilon), beta, relu, *shortcut)

        def gradient(dy, *_):
            if relu:
                dy = tf.raw_ops.ReluGrad(gradients=dy, features=y)
            dx, dgamma, dbeta, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=tf.cast(dy, tf.float32),
                x=tf.cast(x, tf.float32),
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=[],
                epsilon=epsilon,
            )
            return tf.cast(dx, x.dtype), dgamma, dbeta, *(dy for _ in shortcut)

        return (y, mean, variance), gradient

    return run(x, gamma, beta, *(() if shortcut is None else (shortcut,)))


def _moments(x):
    """Returns the mean and the biased variance of each channel, having read x once."""
    _, H, W, C = (side or tf.shape(x)[i] for i, side in enumerate(x.shape))
    rows = math.gcd(math.prod(side or 1 for side in x.shape[:3]), ROWS)
    # Squares are of differences from about the mean, so that they do not cancel.
    about = tf.reduce_mean(tf.cast(x[:, H // 2, W // 2], tf.float32), 0)
    sums = _sums(tf.reshape(x, [-1, rows, C]), about, rows)
    both = tf.reduce_mean(tf.reshape(sums, [-1, C]), 0) / rows
    mean, square = tf.math.real(both), tf.math.imag(both)
    return about + mean, tf.maximum(square - tf.square(mean), 0)


@tf.function(jit_compile=True, autograph=False)
def _sums(x, about, rows):
    """Returns sums of differences and of their squares, as complex numbers: one loop writes both."""
    differences = [tf.cast(x[:, i], tf.float32) - about for i in range(rows)]
    return tf.complex(tf.add_n(differences), tf.add_n([tf.square(d) for d in differences]))


@tf.function(jit_compile=True, autograph=False)
def _affine(x, mean, gain, beta, relu, *shortcut):
    y = (tf.cast(x, tf.float32) - mean) * gain + beta
    y = tf.add_n([y, *(tf.cast(s, tf.float32) for s in shortcut)])
    return tf.cast(tf.nn.relu(y) if relu else y, x.dtype)
