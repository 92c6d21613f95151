"""Loss scaling: the same updates, and none where gradients overflow."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.optim.loss_scale import PATIENCE
from mocotf.optim.loss_scale import START
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.sgd import SGD
from mocotf.training.state import assign


def make(rule):
    variable = keras.Variable(np.arange(3.0), dtype="float32")
    optimizer = rule(0.1, weight_decay=0.01)
    optimizer.build([variable])
    return optimizer, variable


def test_updates_are_those_of_plain_sgd_to_the_bit():
    (scaled, a), (plain, b) = make(LossScaledSGD), make(SGD)
    for step in range(3):
        gradient = tf.random.stateless_normal([3], [step, 0])
        assert scaled.scale_loss(1.0) == START
        scaled.apply_gradients([(scaled.scale_loss(gradient), a)])
        plain.apply_gradients([(gradient, b)])
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("bad", [0, 1])
def test_an_overflow_on_any_replica_skips_the_step_on_all_and_counts_it(replicas, bad):
    strategy = replicas(2)
    with strategy.scope():
        optimizer, variable = make(LossScaledSGD)

    @tf.function
    def step(bad):
        def replica():
            own = tf.distribute.get_replica_context().replica_id_in_sync_group
            gradient = tf.where(tf.equal(own, bad), np.inf, optimizer.scale_loss(1.0))
            optimizer.apply_gradients([(tf.fill([3], gradient), variable)])

        strategy.run(replica)

    def state():
        every = [variable, optimizer.slots["velocity"][0], optimizer.scale, optimizer.finite_steps]
        copies = [strategy.experimental_local_results(v.value) for v in every]
        for first, second in copies:
            np.testing.assert_array_equal(first.numpy(), second.numpy())
        return [first.numpy() for first, _ in copies]

    step(tf.constant(-1))
    *before, scale, finite_steps = state()
    assert (scale, finite_steps) == (START, 1) and np.all(before[1] >= 2)
    step(tf.constant(bad))
    *after, scale, finite_steps = state()
    np.testing.assert_array_equal(before, after)
    assert (scale, finite_steps, optimizer.iterations.numpy()) == (START / 2, 0, 2)


def test_patience_doubles_the_scale():
    optimizer, variable = make(LossScaledSGD)
    optimizer.finite_steps.assign(PATIENCE - 2)
    scales = []
    for _ in range(3):
        optimizer.apply_gradients([(tf.ones([3]), variable)])
        scales.append(float(optimizer.scale.numpy()))
    assert scales == [START, 2 * START, 2 * START] and optimizer.finite_steps.numpy() == 1


def test_the_counter_of_an_earlier_release_is_restored():
    optimizer, _ = make(LossScaledSGD)
    assign({"finite_steps": optimizer.finite_steps}, {"finite_steps": np.int32(7)})
    assert optimizer.finite_steps.dtype == "int64" and optimizer.finite_steps.numpy() == 7
