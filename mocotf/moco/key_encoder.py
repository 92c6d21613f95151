"""The momentum update (arXiv 1911.05722, Eq. 2)."""

import tensorflow as tf


def copy_weights(source, target):
    """Copies every weight of encoder `source`, BN statistics too: θk ← θq at the start."""
    for a, b in zip(source.weights, target.weights, strict=True):
        b.assign(a)


def momentum_update(key_encoder, query_encoder, m):
    """θk ← m·θk + (1 - m)·θq over the trainable parameters; BN moving statistics are not averaged.

    Call it in replica context. Each replica updates its own copy from its own copy.
    """
    theta_k = [v.value for v in key_encoder.trainable_variables]
    theta_q = [v.value for v in query_encoder.trainable_variables]

    def follow(strategy, theta_k, theta_q):
        for k, q in zip(theta_k, theta_q, strict=True):
            strategy.extended.update(
                k, lambda k, q: k.assign(m * k + (1 - m) * q), args=(q,), group=False
            )

    tf.__internal__.distribute.interim.maybe_merge_call(
        follow, tf.distribute.get_strategy(), theta_k, theta_q
    )
