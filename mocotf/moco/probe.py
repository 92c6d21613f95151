"""An online linear probe: what the features are worth, seen while they are being learned."""

import tensorflow as tf

from mocotf.metrics import Metric
from mocotf.moco.per_replica import per_replica_variable

METRICS = (Metric("probe_loss", "probe/loss"), Metric("probe_acc1", "probe/acc1"))
LR = 1.0  # for features of unit length: stable, and quick enough to follow the encoder
MOMENTUM = 0.9


class Probe(tf.Module):
    """A linear classifier of features that learns a step with each of the encoder's, and gives nothing
    back: no gradient, no random number, no variable of the encoder's is touched.

    Every replica has one of its own, that sees its share of the batch; the first one's is kept.

    Args:
        C: width of the features.
        classes: how many.
    """

    def __init__(self, C, classes):
        super().__init__(name="probe")
        self.W, self.b, self._vW, self._vb = (
            per_replica_variable(tf.zeros(shape), name)
            for name, shape in (
                ("W", [C, classes]),
                ("b", [classes]),
                ("velocity_W", [C, classes]),
                ("velocity_b", [classes]),
            )
        )

    @property
    def named(self):
        """Name → variable."""
        return {"W": self.W, "b": self.b, "velocity_W": self._vW, "velocity_b": self._vb}

    def learn(self, features, labels):
        """Takes a step of SGD on the mean cross-entropy; in replica context.

        Args:
            features: `[n, C]`, of any float type and scale; brought to unit length.
            labels: int64 `[n]`; images of a negative one have none, and do not count.

        Returns:
            float32 scalars by name: `probe_loss` and `probe_acc1`, top-1 in percent, before the step.
        """
        f = tf.math.l2_normalize(tf.cast(tf.stop_gradient(features), tf.float32), axis=1)
        known = tf.cast(labels >= 0, tf.float32)
        share = known / tf.maximum(tf.reduce_sum(known), 1)  # [n]
        scores = tf.matmul(f, self.W) + self.b
        target = tf.maximum(labels, 0)
        # Not by TensorFlow's operator, which does not repeat itself on a GPU.
        log_p, own = tf.nn.log_softmax(scores), tf.one_hot(target, scores.shape[1])  # [n, classes]
        loss = -tf.reduce_sum(own * log_p, axis=1)
        # The gradient for the scores, without a tape, which would hold the encoder's.
        slope = (tf.exp(log_p) - own) * share[:, None]
        right = tf.cast(tf.argmax(scores, axis=1) == target, tf.float32)
        results = tf.reduce_sum(share * loss), 100 * tf.reduce_sum(share * right)
        self._update(self.W, self._vW, tf.matmul(f, slope, transpose_a=True))
        self._update(self.b, self._vb, tf.reduce_sum(slope, axis=0))
        return {metric.name: value for metric, value in zip(METRICS, results, strict=True)}

    def _update(self, variable, velocity, gradient):
        new = MOMENTUM * velocity + gradient
        velocity.assign(new)
        variable.assign(variable - LR * new)
