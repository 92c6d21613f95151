"""Matrix products of float32 that stay what they are where TensorFlow would take TF32's 10 bits."""

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla as tf2xla
from tensorflow.compiler.xla import xla_data_pb2

from mocotf.nn import xla


def product(a, b):
    """Returns a · bᵀ of `a` `[n, C]` and `b` `[N, C]`, `[n, N]`; of float32 in true float32.

    A GPU multiplies numbers of 10 bits otherwise, unless --tf32=off says so of the whole process: an
    error of 1e-3 in a cosine, which a temperature of .07 makes .014 in a logit.
    """
    if a.dtype != tf.float32 or not _rounds():
        return tf.matmul(a, b, transpose_b=True)
    if not xla.compiles_this():
        # Which kernel runs is not the graph's to say, only for which type.
        wide = tf.matmul(tf.cast(a, tf.float64), tf.cast(b, tf.float64), transpose_b=True)
        return tf.cast(wide, tf.float32)
    return _product(a, b)


def products_with(rows, a):
    """Returns the products of `rows` `[n, K, C]` with `a` `[n, C]`, `[n, K]`, likewise."""
    if a.dtype != tf.float32 or not _rounds():
        return tf.linalg.matvec(rows, a)
    return tf.reduce_sum(rows * a[:, None], axis=2)


def _rounds():
    """Returns whether products of float32 are of TF32 here: on GPUs since Ampere, where it is on."""
    return tf.config.experimental.tensor_float_32_execution_enabled() and any(
        capability >= (8, 0) for capability in xla.capabilities()
    )


@tf.custom_gradient
def _product(a, b):
    def gradient(dy):
        return _dot(dy, b, 1, 0), _dot(dy, a, 0, 0)

    return _dot(a, b, 1, 1), gradient


def _dot(a, b, axis_a, axis_b):
    """Returns the product of matrices, summed over an axis of each, as precise as XLA makes it."""
    axes = xla_data_pb2.DotDimensionNumbers()
    axes.lhs_contracting_dimensions.append(axis_a)
    axes.rhs_contracting_dimensions.append(axis_b)
    precision = xla_data_pb2.PrecisionConfig()
    precision.operand_precision.extend([xla_data_pb2.PrecisionConfig.HIGHEST] * 2)
    return tf2xla.dot_general(a, b, axes, precision)
