"""Dynamic loss scaling, without which small gradients vanish in float16."""

import keras
import tensorflow as tf

from mocotf.optim.adamw import AdamW
from mocotf.optim.lars import LARS
from mocotf.optim.sgd import SGD

START = 2.0**15
PATIENCE = 2000  # steps


class LossScaled:
    """Of a `FusedOptimizer`: gradients of a loss that is scaled up, by as much as they can bear.

    A step whose gradients overflow changes no weight and no slot, and halves the scale; `PATIENCE`
    steps in a row without overflow double it.

    Differs from `keras.optimizers.LossScaleOptimizer` in two things that a run depends on: a step that
    changes nothing counts in `iterations` all the same, for data, schedule and permutations go on; and
    gradients are looked at after they are summed over replicas: Keras looks at replica 0's alone, and
    applies what has overflowed on another.

    A step that overflows keeps the `gradient_norm` of the last that did not, unless the scale is down
    to 1: then it is infinite.

    Attributes:
        scale: factor of the loss, float32 variable.
        finite_steps: in a row, since the scale last changed, int64 variable: one of int32 is on the
            host, where a GPU's XLA cannot reach it.
    """

    def build(self, variables):
        if not self.built:
            self.scale = self.add_variable((), keras.initializers.Constant(START), name="scale")
            self.finite_steps = self.add_variable((), "zeros", "int64", name="finite_steps")
            super().build(variables)

    def scale_loss(self, loss):
        return loss * self.scale.value

    def _updates(self, gradients, norm, learning_rate):
        scale, steps = self.scale.value, self.finite_steps.value
        finite = tf.math.is_finite(norm)
        unscaled = [(g / scale, variable) for g, variable in gradients]
        (norm_variable, norm), *updates = super()._updates(unscaled, norm / scale, learning_rate)
        updates = [(variable, tf.where(finite, value, variable)) for variable, value in updates]
        # Where no scaling is left, it is not the scale's fault.
        skipped = tf.where(scale > 1, norm_variable, float("inf"))
        updates.append((norm_variable, tf.where(finite, norm, skipped)))
        patient = finite & (steps + 1 == PATIENCE)
        factor = tf.where(patient, 2.0, tf.where(finite, 1.0, 0.5))
        return [*updates, (scale, scale * factor), (steps, tf.where(finite & ~patient, steps + 1, 0))]


class LossScaledSGD(LossScaled, SGD):
    """`SGD` under float16."""


class LossScaledLARS(LossScaled, LARS):
    """`LARS` under float16."""


class LossScaledAdamW(LossScaled, AdamW):
    """`AdamW` under float16."""
