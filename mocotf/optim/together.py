"""Updates of many variables, each in one pass over memory and in place."""

import tensorflow as tf

from mocotf.nn import xla


def update_together(rule):
    """Runs `rule()`, which returns pairs (variable, new value), and assigns; in replica context.

    XLA fuses what makes a value into the loop that writes it: TensorFlow would write every
    intermediate. Where XLA does not work TensorFlow does. Each replica assigns to its own copy, without
    a look at the others'.
    """

    # Inlined, the copy of one replica would be rewritten otherwise than those of others, and round
    # otherwise.
    @tf.function(jit_compile=xla.works(), autograph=False, experimental_attributes={"_noinline": True})
    def update():
        for variable, value in rule():
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)

    update()
