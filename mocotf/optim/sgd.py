"""Stochastic gradient descent as PyTorch defines it."""

import keras
import tensorflow as tf


class SGD(keras.optimizers.Optimizer):
    """SGD with momentum and coupled weight decay, the rule of `torch.optim.SGD`.

        v ← momentum · v + (g + weight_decay · w)
        w ← w - lr · v

    `keras.optimizers.SGD` differs twice: its weight decay bypasses the momentum, and its velocity
    holds the learning rate, so that a drop of the rate acts later.

    Args:
        learning_rate: float or schedule.
        momentum: in [0, 1).
        weight_decay: applied to every variable, batch-norm parameters and biases too.
    """

    def __init__(self, learning_rate, momentum=0.9, weight_decay=0.0, name="sgd", **kwargs):
        # The base class would apply its own, decoupled decay if it were told of it.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.coupled_weight_decay = weight_decay

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.velocities = self.add_optimizer_variables(variables, "velocity")

    def velocity_of(self, variable):
        """Returns the velocity v of a variable."""
        return self.velocities[self._get_variable_index(variable)]

    def update_step(self, gradient, variable, learning_rate):
        v = self.velocity_of(variable)
        gradient = tf.cast(gradient, variable.dtype) + self.coupled_weight_decay * variable
        self.assign(v, self.momentum * v.value + gradient)
        self.assign_sub(variable, tf.cast(learning_rate, variable.dtype) * v.value)

    def get_config(self):
        config = super().get_config()
        return config | {"momentum": self.momentum, "weight_decay": self.coupled_weight_decay}
