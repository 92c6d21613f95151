"""The max-pool of a ResNet's stem."""

import keras
import tensorflow as tf

from mocotf.nn.kernels import policy


@keras.saving.register_keras_serializable("mocotf")
class MaxPool(keras.layers.Layer):
    """Takes the maxima of 3×3 windows, stride 2, padded by 1 on every side, of what a ReLU returned.

    Call: `x` float `[n, H, W, C]`, none below 0; returns `[n, ⌈H / 2⌉, ⌈W / 2⌉, C]` of the same dtype.
    """

    strides = (2, 2)  # as layers of Keras's say it

    def call(self, x, training=False):
        kernel = policy.max_pool_for(x) if training else None
        return kernel(_max_pool, x) if kernel else _max_pool(x)


def _max_pool(x):
    # Zeros pad as well as -inf here: after a ReLU nothing is smaller.
    return tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
