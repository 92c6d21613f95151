"""The momentum update (arXiv 1911.05722, Eq. 2)."""

from mocotf.optim.fused_assign import fused_assign


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
    fused_assign(lambda: [(k, m * k + (1 - m) * q) for k, q in zip(theta_k, theta_q, strict=True)])
