"""What our optimizers share: all variables at once, in one pass over memory."""

import keras
import tensorflow as tf

from mocotf.optim.fused_assign import fused_assign


class FusedOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer whose `rule` is computed for all variables in one graph, and in place.

    Gradients are summed over replicas, as Keras's optimizers do.

    Args:
        learning_rate: float or schedule.
        weight_decay: applied to every variable, batch-norm parameters and biases too, unless the rule
            says otherwise.
        lr_scales: beginning of a variable's path → factor of its learning rate; the longest that fits
            decides, 1 where none does.
        fixed_lr: beginning of a variable's path → learning rate, constant, instead of `learning_rate`.

    Attributes:
        SLOTS: names of what is kept for each variable, of its shape, 0 at first.
        gradient_norm: of the last step, all variables and replicas together, float32 variable.
        lr_factor: of all learning rates, the fixed ones too, float32 variable, 1 unless a run changes
            it; no state: it is in no checkpoint.
    """

    SLOTS: tuple[str, ...]

    def __init__(
        self, learning_rate, weight_decay=0.0, lr_scales=None, fixed_lr=None, name=None, **kwargs
    ):
        # The base class would apply its own, decoupled decay if it were told of it.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.decay = weight_decay
        self.lr_scales = lr_scales or {}
        self.fixed_lr = fixed_lr or {}

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.gradient_norm = self.add_variable((), "zeros", "float32", name="gradient_norm")
            self.slots = {name: self.add_optimizer_variables(variables, name) for name in self.SLOTS}
            self.lr_factor = tf.Variable(1.0, trainable=False, name="lr_factor")

    def slots_of(self, variable):
        """Returns what is kept for a variable, in the order of `SLOTS`."""
        index = self._get_variable_index(variable)
        return [self.slots[name][index] for name in self.SLOTS]

    def rule(self, w, g, rate, *slots):
        """Returns the new values of a variable and of its slots.

        Args:
            w: the variable's value.
            g: its gradient, of w's dtype.
            rate: its learning rate, of w's dtype.
            slots: values of what is kept for it.
        """
        raise NotImplementedError

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
            w, slots = variable.value, [slot.value for slot in self.slots_of(variable)]
            fixed = _of_path(self.fixed_lr, variable, None)
            # Not cast: a number would be a float32 first.
            rate = tf.cast(learning_rate, w.dtype) if fixed is None else tf.constant(fixed, w.dtype)
            rate *= _of_path(self.lr_scales, variable, 1.0) * tf.cast(self.lr_factor, w.dtype)
            values = self.rule(w, tf.cast(g, w.dtype), rate, *slots)
            new += zip((w, *slots), values, strict=True)
        return new

    def get_config(self):
        own = {"lr_scales": self.lr_scales, "fixed_lr": self.fixed_lr}
        return super().get_config() | {"weight_decay": self.decay} | own


def _of_path(values, variable, default):
    """Returns the value of the longest beginning of a variable's path; the default where none fits."""
    fitting = [prefix for prefix in values if variable.path.startswith(prefix)]
    return values[max(fitting, key=len)] if fitting else default
