"""Gradient checkpointing (arXiv 1604.06174): less memory, more time, the same results."""

import tensorflow as tf


def recomputed(part):
    """Returns `part` in training, x → y; for the backward pass x is kept, and the rest computed again.

    Args:
        part: a built `keras.Model` of one input and one output.
    """
    theta = [v.value for v in part.trainable_variables]  # taken here, where nothing casts them
    statistics = part.non_trainable_variables

    def train(x):
        before = [v.value for v in statistics]

        # This runs twice, so it assigns nothing: moving statistics are followed below, once.
        @tf.recompute_grad
        def run(x, *theta):
            y, after = part.stateless_call(theta, before, x, training=True)
            return y, *map(tf.stop_gradient, after)

        y, *after = run(x, *theta)
        for variable, value in zip(statistics, after, strict=True):
            variable.assign(value)
        return y

    return train
