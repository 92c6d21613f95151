"""Updates of many variables, each in one pass over memory and in place."""

import tensorflow as tf

from mocotf.nn import xla


def fused_assign(rule):
    """Assigns the pairs (variable, new value) that `rule()` returns; in replica context.

    XLA fuses the computation of a value with the loop that writes it; TensorFlow, which does this where
    XLA does not work, writes every intermediate to memory. Each replica assigns to its own copy and
    leaves the others' alone.
    """

    # Inlined, the copy of one replica would be rewritten otherwise than those of others, and round
    # otherwise.
    @tf.function(jit_compile=xla.works(), autograph=False, experimental_attributes={"_noinline": True})
    def update():
        for variable, value in rule():
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)

    update()
