"""Variables of which every replica has a copy of its own."""

import tensorflow as tf


def per_replica_variable(value, name):
    """Returns a variable that each replica reads and writes in place, without a broadcast.

    The copies begin alike. A checkpoint holds the first replica's: they must stay alike, or that one
    be what counts.

    Args:
        value: tensor to begin with.
        name: of the variable.
    """
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        name=name,
    )
