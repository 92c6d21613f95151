"""What the machine could do at most, and how much of it a step asks for."""

import tensorflow as tf

from mocotf.nn.kernels import policy
from tools.peers.serve import seconds

PIXELS, CHANNELS = 28, 256  # of the convolution
ON_CPU = {"side": 2048, "images": 16}  # of the square matrices, of the convolution
ON_ACCELERATOR = {"side": 8192, "images": 256}  # a smaller product would measure the launch
REPEATS = 5


def peaks(dtype):
    """Returns the GFLOP/s of a large matrix product and of a 3×3 convolution, the best of 5 runs."""
    size = ON_CPU if policy.on_cpu() else ON_ACCELERATOR
    side, count = size["side"], size["images"]
    matrix = tf.random.normal([side, side])
    images = tf.random.normal([count, PIXELS, PIXELS, CHANNELS])
    kernel = tf.random.normal([3, 3, CHANNELS, CHANNELS])
    matrix, images, kernel = (tf.cast(x, dtype) for x in (matrix, images, kernel))
    convolve = tf.function(lambda: tf.nn.conv2d(images, kernel, 1, "SAME"))
    return {
        "matmul_gflops": _best(tf.function(lambda: tf.matmul(matrix, matrix)), 2 * side**3),
        "conv3x3_gflops": _best(convolve, 2 * 9 * count * (PIXELS * CHANNELS) ** 2),
    }


def _best(work, flop):
    work()
    settle = tf.test.experimental.sync_devices
    return flop / min(seconds(work, settle=settle) for _ in range(REPEATS)) / 1e9


def step_gflop(encoder, images):
    """Returns the GFLOP of a step's convolutions and matrix products, as four forward passes.

    The query's backward counts as two, the key's forward as one; the loss, a thousandth, as nothing.

    Args:
        encoder: of queries or keys.
        images: `[n, H, W, 3]`, the views of a step.
    """
    with policy.plain():  # counted as what they are, however they are computed
        forward = tf.function(lambda x: encoder(x, training=True)).get_concrete_function(images)
    operations = [op for op in forward.graph.get_operations() if op.type in ("Conv2D", "MatMul")]
    return 4 * sum(map(_flop, operations)) / 1e9


def _flop(op):
    """Returns 2 × outputs × products summed in each, of a Conv2D or MatMul."""
    *window, _ = op.inputs[1].shape  # [h, w, inputs, outputs] or [inputs, outputs]
    return 2 * tf.TensorShape([*op.outputs[0].shape, *window]).num_elements()
