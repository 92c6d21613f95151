"""Layer-wise adaptive rates, for large batches."""

import keras
import tensorflow as tf

from mocotf.optim.sgd import SGD

TRUST = 0.001


@keras.saving.register_keras_serializable("mocotf")
class LARS(SGD):
    """SGD whose steps are in proportion to the weights they change (arXiv 1708.03888).

        d ← g + weight_decay · w
        v ← momentum · v + d · TRUST · ‖w‖ / ‖d‖
        w ← w - lr · v

    As MoCo v3 has it (arXiv 2104.02057), biases and the parameters of normalisation, which have one
    axis, take SGD's step without decay.
    """

    def __init__(self, learning_rate, momentum=0.9, weight_decay=0.0, name="lars", **more):
        super().__init__(learning_rate, momentum, weight_decay, name, **more)

    def rule(self, w, g, rate, v):
        if len(w.shape) > 1:
            d = g + self.decay * w
            size, length = tf.norm(w), tf.norm(d)
            g = d * tf.where((size > 0) & (length > 0), TRUST * size / length, tf.ones([], w.dtype))
        v = self.momentum * v + g
        return w - rate * v, v
