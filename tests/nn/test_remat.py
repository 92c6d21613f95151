"""Gradient checkpointing changes no gradient, no statistic and no checkpoint, and saves memory."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.nn.encoder import build_encoder
from tests import processes
from tests.tiny import ONE_BLOCK
from tests.tiny import maker

CASES = [
    ("float32", ONE_BLOCK, 2, 2),
    ("mixed_bfloat16", "resnet10", 1, 2),
    ("float64", ONE_BLOCK, 1, 1),
    pytest.param("mixed_bfloat16", "resnet10", 2, 1, marks=pytest.mark.slow),
    pytest.param("mixed_bfloat16", "resnet50", 1, 2, marks=pytest.mark.slow),
]


def build(strategy, arch=ONE_BLOCK, bn_splits=1, remat=True):
    keras.utils.set_random_seed(0)
    backbone = maker(arch, width=1 / 8, stem="small")
    with strategy.scope():
        return build_encoder(backbone, dim=8, mlp=True, bn_splits=bn_splits, remat=remat)


def gradients(strategy, encoder, steps):
    """Returns each replica's gradients of the last of some steps, which change statistics only."""
    images = tf.random.stateless_normal([steps, 8, 32, 32, 3], [0, 1])
    weights = tf.random.stateless_normal([8, 8], [0, 2])

    @tf.function
    def step(images):
        def on_replica(images):
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            images = tf.roll(images, replica, axis=1) * (1 + tf.cast(replica, tf.float32))
            with tf.GradientTape() as tape:
                q = encoder(images, training=True)
                total = tf.reduce_sum(tf.cast(q, tf.float32) * weights)
            return tape.gradient(total, [v.value for v in encoder.trainable_variables])

        return strategy.run(on_replica, args=(images,))

    for x in images:
        found = step(x)
    return everywhere(strategy, found)


def everywhere(strategy, values):
    """Returns each replica's arrays of values."""
    return [[v.numpy() for v in strategy.experimental_local_results(value)] for value in values]


def statistics(strategy, encoder):
    return everywhere(strategy, [v.value for v in encoder.non_trainable_variables])


@pytest.mark.parametrize(("policy", "arch", "count", "bn_splits"), CASES)
def test_gradients_and_moving_statistics_are_the_same_to_the_bit(
    replicas, policy, arch, count, bn_splits
):
    keras.config.set_dtype_policy(policy)
    strategy = replicas(count)
    found = []
    for remat in (False, True):
        encoder = build(strategy, arch, bn_splits, remat)
        start = statistics(strategy, encoder)
        found.append((gradients(strategy, encoder, 2), statistics(strategy, encoder)))
    for plain, recomputed in zip(*found, strict=True):
        for a, b in zip(plain, recomputed, strict=True):
            np.testing.assert_array_equal(a, b)
    for before, after in zip(start, statistics(strategy, encoder), strict=True):
        assert all(np.any(a != b) for a, b in zip(before, after, strict=True))


def test_weights_and_checkpoints_are_the_same(replicas, tmp_path):
    plain, recomputed = (build(replicas(1), remat=remat) for remat in (False, True))
    assert [w.path for w in plain.weights] == [w.path for w in recomputed.weights]
    for encoder in (plain, recomputed):
        encoder.weights[0].assign_add(tf.ones_like(encoder.weights[0].value))
    for written, remat in ((plain, True), (recomputed, False)):
        path = tf.train.Checkpoint(model=written).write(str(tmp_path / f"{remat}"))
        other = build(replicas(1), remat=remat)
        tf.train.Checkpoint(model=other).read(path).assert_consumed()
        for a, b in zip(written.weights, other.weights, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


MEMORY = """
import sys
import tensorflow as tf
from mocotf.nn.encoder import build_encoder
from tests.tiny import maker
from tools.peers.serve import resident_mb

encoder = build_encoder(maker("resnet50", width=1 / 4, stem="small"), remat=sys.argv[1] == "True")

@tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3])])
def step(images):
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(encoder(images, training=True)[:, 0])
    return tape.gradient(total, [v.value for v in encoder.trainable_variables])

step(tf.zeros([1, 64, 64, 3]))
before = resident_mb()
step(tf.zeros([128, 64, 64, 3]))
print(resident_mb("VmHWM") - before)
"""


@pytest.mark.slow
def test_a_pass_there_and_back_needs_far_less_memory():
    # TensorFlow must neither merge both computations nor begin the second one early.
    done = [processes.python("-c", MEMORY, remat).wait() for remat in (False, True)]
    assert all(result.code == 0 for result in done), done
    plain, recomputed = (float(result.out) for result in done)
    assert recomputed < 0.75 * plain
