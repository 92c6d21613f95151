"""Replicas are given the first one's bits, and those that differ are found."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.training.replicas import broadcast
from mocotf.training.replicas import check_agreement
from mocotf.training.replicas import check_replicas
from mocotf.training.strategy import check_divides

VALUES = {
    "float": np.array([1.5, -0.0, np.nan, np.inf], np.float32),
    "double": np.array([[1e-300, -0.0]], np.float64),
    "int": np.array(2**40 + 1, np.int64),
}


LOCAL = {
    "synchronization": tf.VariableSynchronization.ON_READ,
    "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
}


def is_second():
    return tf.distribute.get_replica_context().replica_id_in_sync_group == 1


@pytest.fixture
def apart(replicas):
    """Returns a strategy of two replicas and variables, name → variable, that differ between them."""
    strategy = replicas(2)
    with strategy.scope():
        named = {name: tf.Variable(value, **LOCAL) for name, value in VALUES.items()}

    def spoil():
        for variable in named.values():
            value = variable.read_value()
            bits = tf.bitcast(value, tf.int32)
            spoiled = tf.bitcast(bits + tf.cast(is_second(), tf.int32), value.dtype)
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=spoiled)

    tf.function(lambda: strategy.run(spoil))()
    return strategy, named


@pytest.mark.parametrize("name", VALUES)
def test_a_single_bit_is_found_and_mended(apart, name):
    strategy, named = apart
    with pytest.raises(UserError, match=rf"1 of 1 variables .* such as {name}: replicas \[1\]"):
        check_replicas(strategy, {name: named[name]})
    broadcast(strategy, [named[name]])
    check_replicas(strategy, {name: named[name]})
    for copy in strategy.experimental_local_results(named[name]):
        assert copy.numpy().tobytes() == VALUES[name].tobytes()


def test_values_that_changed_places_differ(replicas):
    strategy = replicas(2)
    with strategy.scope():
        variable = tf.Variable([0.0, 0.0], **LOCAL)

    def swap():
        variable.assign(tf.where(is_second(), [2.0, 1.0], [1.0, 2.0]))

    tf.function(lambda: strategy.run(swap))()
    with pytest.raises(UserError, match="1 of 1"):
        check_replicas(strategy, {"v": variable})


def test_one_process_agrees_with_itself(replicas):
    check_agreement(replicas(2), {"lr": "1"}, {"images": 3})


def test_a_batch_is_shared_equally():
    check_divides(33, 3)
    with pytest.raises(UserError, match="--batch_size=32: expected a multiple of 3, .*; try 33"):
        check_divides(32, 3)
