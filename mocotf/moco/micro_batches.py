"""Gradient accumulation: a replica's batch in parts, one after another.

Memory then holds the activations of one part only. That takes a loop: the parts of an unrolled graph
would run side by side. What replicas exchange, images and keys, they exchange of all parts at once,
outside of loops: so keys are encoded in one loop, and queries contrasted with them in another.
"""

import tensorflow as tf


def join(f, x, A, y):
    """Returns f(x), computed on A contiguous micro-batches of `x` `[n, …]` in turn; `y` is its spec."""
    if A == 1:
        return f(x)
    ys = tf.map_fn(
        lambda a: f(_part(x, a, A)), tf.range(A), fn_output_signature=y, parallel_iterations=1
    )  # [A, n / A, …]
    return tf.reshape(ys, [-1, *y.shape[1:]])


def mean(f, batch, A, zeros):
    """Returns the mean of f over A contiguous micro-batches of a batch, taken in turn.

    Args:
        f: a batch → a structure of tensors.
        batch: a structure of tensors `[n, …]`.
        A: number of micro-batches, divides n.
        zeros: a result of `f` that is all 0.
    """
    if A == 1:
        return f(batch)

    def add(total, a):
        part = tf.nest.map_structure(lambda x: _part(x, a, A), batch)
        return tf.nest.map_structure(lambda s, x: s + x / A, total, f(part))

    return tf.foldl(add, tf.range(A), zeros, parallel_iterations=1)


def _part(x, a, A):
    # Not x[a * n : (a + 1) * n]: XLA would not know how many there are.
    sides = [tf.shape(x)[i] if side is None else side for i, side in enumerate(x.shape)]
    return tf.reshape(x, [A, sides[0] // A, *sides[1:]])[a]
