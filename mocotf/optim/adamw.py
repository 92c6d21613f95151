"""Adam with decoupled weight decay, as PyTorch defines it."""

import keras
import tensorflow as tf

from mocotf.optim.fused_optimizer import FusedOptimizer


@keras.saving.register_keras_serializable("mocotf")
class AdamW(FusedOptimizer):
    """AdamW (arXiv 1711.05101), the rule of `torch.optim.AdamW`; all variables decay.

        m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²
        w ← w - lr · weight_decay · w - lr · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)

    Args:
        beta_1, beta_2: in [0, 1).
        epsilon: ε.
        more: learning_rate, weight_decay and others, see `FusedOptimizer`.
    """

    SLOTS = ("moment_1", "moment_2")

    def __init__(
        self,
        learning_rate,
        beta_1=0.9,
        weight_decay=0.0,
        beta_2=0.999,
        epsilon=1e-8,
        name="adamw",
        **more,
    ):
        super().__init__(learning_rate, weight_decay, name=name, **more)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def rule(self, w, g, rate, m, v):
        t = tf.cast(self.iterations.value + 1, w.dtype)
        beta_1, beta_2 = (tf.constant(beta, w.dtype) for beta in (self.beta_1, self.beta_2))
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * tf.square(g)
        deviation = tf.sqrt(v / (1 - beta_2**t)) + self.epsilon
        return w - rate * (self.decay * w + m / (1 - beta_1**t) / deviation), m, v

    def get_config(self):
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return super().get_config() | own
