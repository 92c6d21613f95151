"""What XLA compiles: whether a graph is compiled whole, and whether XLA works on this machine at all."""

import contextlib
import contextvars

from tensorflow.compiler.tf2xla.ops import gen_xla_ops

_whole = contextvars.ContextVar("whole", default=False)


@contextlib.contextmanager
def compiled_whole(compiled=True):
    """Within it, layers are told that XLA compiles the graph that they are called for, all of it."""
    token = _whole.set(compiled)
    try:
        yield
    finally:
        _whole.reset(token)


def compiles_this():
    """Returns whether XLA compiles all of the graph that is being built."""
    return _whole.get()


def kept(*tensors):
    """Returns tensors as they are to be in memory, in a graph that XLA compiles whole.

    XLA joins what follows with what computes them: it would write intermediates of theirs, in float32,
    or what a later formula has in common with an earlier one, to read that instead.
    """
    return gen_xla_ops.xla_optimization_barrier(tensors)
