"""The stem's convolution for an accelerator, whose matrix units want many channels.

A convolution of stride s over an image is one of stride 1 over its cells of s × s pixels, each with
the channels of all of its pixels: three channels become twelve. MLPerf's ResNets are computed so.
"""

import tensorflow as tf

MULTIPLE = 8  # of which cuDNN wants the number of channels, or copies the image itself


def convolve(x, kernel, stride):
    """Returns what `tf.nn.conv2d` does of padding "VALID".

    Args:
        x: `[n, H, W, Ci]`, H and W known and divisible by the stride.
        kernel: `[k, k, Ci, Co]`, of x's dtype.
    """
    k, _, Ci, Co = kernel.shape
    side = -(-k // stride)  # of the kernel, in cells
    channels = Ci * stride**2
    more = -channels % MULTIPLE
    rest = side * stride - k
    kernel = tf.pad(kernel, [[0, rest], [0, rest], [0, 0], [0, 0]])
    kernel = tf.reshape(kernel, [side, stride, side, stride, Ci, Co])
    kernel = tf.reshape(tf.transpose(kernel, [0, 2, 1, 3, 4, 5]), [side, side, channels, Co])
    kernel = tf.pad(kernel, [[0, 0], [0, 0], [0, more], [0, 0]])
    cells = tf.pad(tf.nn.space_to_depth(x, stride), [[0, 0], [0, 0], [0, 0], [0, more]])
    return tf.nn.conv2d(cells, kernel, 1, "VALID")
