"""Stochastic gradient descent as PyTorch defines it."""

import keras
import tensorflow as tf

from mocotf.optim.fused_assign import fused_assign


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
        lr_scales: beginning of a variable's path → factor of its learning rate; the longest that fits
            decides, 1 where none does.
        fixed_lr: beginning of a variable's path → learning rate, constant, instead of `learning_rate`.

    Attributes:
        gradient_norm: of the last step, all variables and replicas together, float32 variable.
    """

    def __init__(
        self,
        learning_rate,
        momentum=0.9,
        weight_decay=0.0,
        lr_scales=None,
        fixed_lr=None,
        name="sgd",
        **kwargs,
    ):
        # The base class would apply its own, decoupled decay if it were told of it.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.coupled_weight_decay = weight_decay
        self.lr_scales = lr_scales or {}
        self.fixed_lr = fixed_lr or {}

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.gradient_norm = self.add_variable((), "zeros", "float32", name="gradient_norm")
            self.velocities = self.add_optimizer_variables(variables, "velocity")

    def velocity_of(self, variable):
        """Returns the velocity v of a variable."""
        return self.velocities[self._get_variable_index(variable)]

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """Sums gradients over replicas, then updates all variables at once; the base class would
        call `update_step` for one after another."""
        pairs = zip(grads, trainable_variables, strict=True)
        summed = list(self._all_reduce_sum_gradients(pairs))
        # Not within: XLA adds up one number at a time.
        norm = tf.cast(tf.linalg.global_norm([g for g, _ in summed]), tf.float32)
        fused_assign(lambda: self._updates(summed, norm, learning_rate))

    def _updates(self, gradients, norm, learning_rate):
        """Returns pairs of what changes and its new value, `gradient_norm` first.

        Args:
            gradients: (gradient summed over replicas, variable) of each variable.
            norm: of all of these gradients.
            learning_rate: scalar.
        """
        new = [(self.gradient_norm.value, norm)]
        for g, variable in gradients:
            w, v = variable.value, self.velocity_of(variable).value
            g = tf.cast(g, w.dtype) + self.coupled_weight_decay * w
            fixed = _of_path(self.fixed_lr, variable, None)
            # Not cast: a number would be a float32 first.
            rate = tf.cast(learning_rate, w.dtype) if fixed is None else tf.constant(fixed, w.dtype)
            rate *= _of_path(self.lr_scales, variable, 1.0)
            velocity = self.momentum * v + g
            new += [(v, velocity), (w, w - rate * velocity)]
        return new

    def get_config(self):
        config = super().get_config()
        own = {"momentum": self.momentum, "weight_decay": self.coupled_weight_decay}
        return config | own | {"lr_scales": self.lr_scales, "fixed_lr": self.fixed_lr}


def _of_path(values, variable, default):
    """Returns the value of the longest beginning of a variable's path; the default where none fits."""
    fitting = [prefix for prefix in values if variable.path.startswith(prefix)]
    return values[max(fitting, key=len)] if fitting else default
