"""Softmax regression on features that do not change: convex, so solved rather than trained."""

import numpy as np
import tensorflow as tf

from mocotf import extras

BLOCK = 65536  # images a product
ITERATIONS = 500


class SoftmaxRegression:
    """A linear classifier of features, each brought to mean 0 and standard deviation 1.

    Args:
        features: `[N, C]` float32 or float64, whose mean and deviation are taken.
        labels: int64 `[N]`.
        classes: how many.
        l2: weight of ½‖W‖² beside the mean cross-entropy; the bias is free.

    Attributes:
        converged: whether L-BFGS ended because the gradient vanished, and not by ITERATIONS.
    """

    def __init__(self, features, labels, classes, l2):
        dtype = features.dtype
        self._mean = features.mean(axis=0, dtype=np.float64).astype(dtype)
        # A feature that never changes says nothing, and is left at 0.
        deviation = features.std(axis=0, dtype=np.float64)
        self._scale = np.where(deviation > 0, 1 / np.maximum(deviation, 1e-12), 0).astype(dtype)
        blocks = [
            (tf.constant(self._standard(features[i : i + BLOCK])), tf.constant(labels[i : i + BLOCK]))
            for i in range(0, len(labels), BLOCK)
        ]
        shape = features.shape[1] + 1, classes
        found = extras.require("scipy.optimize", "--cache_features").minimize(
            lambda theta: _objective(theta.reshape(shape), blocks, len(labels), l2),
            np.zeros(shape[0] * shape[1]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ITERATIONS, "gtol": 1e-6},
        )
        self.converged = bool(found.success)
        self._theta = found.x.reshape(shape).astype(dtype)

    def scores(self, features):
        """Returns the class scores `[N, classes]` of features `[N, C]`."""
        return self._standard(features) @ self._theta[:-1] + self._theta[-1]

    def _standard(self, features):
        return (features - self._mean) * self._scale


def _objective(theta, blocks, images, l2):
    """Returns (mean cross-entropy + ½ l2 ‖W‖², its gradient), float64.

    Args:
        theta: W, and the bias as its last row, `[C + 1, classes]`.
        blocks: (features `[n, C]`, labels `[n]`) each.
        images: in all blocks.
        l2: see `SoftmaxRegression`.
    """
    decay = np.r_[np.full(len(theta) - 1, l2), 0.0][:, None]
    loss, gradient = 0.5 * float(np.sum(decay * theta**2)), decay * theta
    for features, labels in blocks:
        part, slope = _cross_entropy(tf.constant(theta, features.dtype), features, labels)
        loss += float(part) / images
        gradient += slope.numpy().astype(np.float64) / images
    return loss, gradient.ravel()


@tf.function(autograph=False, reduce_retracing=True)
def _cross_entropy(theta, features, labels):
    """Returns the sum of cross-entropies, and its gradient."""
    scores = tf.matmul(features, theta[:-1]) + theta[-1]
    loss, slope = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=scores, labels=labels)
    weights = tf.matmul(features, slope, transpose_a=True)
    return tf.reduce_sum(tf.cast(loss, tf.float64)), tf.concat(
        [weights, tf.reduce_sum(slope, axis=0, keepdims=True)], axis=0
    )
