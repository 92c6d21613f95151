"""Stochastic gradient descent as PyTorch defines it."""

from typing import Any

import keras

from mocotf.optim.fused_optimizer import FusedOptimizer


@keras.saving.register_keras_serializable("mocotf")
class SGD(FusedOptimizer):
    """SGD with momentum and coupled weight decay, the rule of `torch.optim.SGD`.

        v ← momentum · v + (g + weight_decay · w)
        w ← w - lr · v

    `keras.optimizers.SGD` differs twice: its weight decay bypasses the momentum, and its velocity
    holds the learning rate, so that a drop of the rate acts later.

    Args:
        momentum: in [0, 1).
        more: learning_rate and others, see `FusedOptimizer`.

    Examples:
        >>> w = keras.Variable([1.0])
        >>> optimizer = mocotf.SGD(0.5, momentum=0.9, weight_decay=0.1)
        >>> optimizer.apply([keras.ops.ones(1)], [w])  # w - 0.5 · (1 + 0.1 · w)
        >>> round(float(w[0]), 3)
        0.45
    """

    SLOTS = ("velocity",)

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        name: str = "sgd",
        **more: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, name=name, **more)
        self.momentum = momentum

    def rule(self, w, g, rate, v):
        v = self.momentum * v + (g + self.decay * w)
        return w - rate * v, v

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum}
