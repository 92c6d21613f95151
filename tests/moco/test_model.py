"""What a step of MoCo changes, and what it leaves alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.data import recipe
from mocotf.data.pipeline import augment_crops
from mocotf.moco.model import MoCo
from mocotf.nn.encoder import build_encoder
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.sgd import SGD

BATCH = 16


def make_model(strategy, bn_splits=1, steps_per_execution=1, jit_compile=False, **options):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        encoders = [
            build_encoder("resnet10", width=1 / 16, stem="cifar", dim=8, mlp=True, bn_splits=bn_splits)
            for _ in range(2)
        ]
        model = MoCo(*encoders, **({"K": 40, "m": 0.9, "T": 0.2} | options))
        rule = LossScaledSGD if model.compute_dtype == "float16" else SGD
        model.compile(
            rule(0.05, weight_decay=1e-3),
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=False,
        )
        model.optimizer.build(model.query_encoder.trainable_variables)
    return model


def pairs(seed=0):
    """An endless data set of view pairs, different each step."""

    def views(i):
        x = tf.random.stateless_normal([2, BATCH, 8, 8, 3], tf.stack([i, seed]))
        return x[0], x[1]

    return tf.data.Dataset.counter(tf.constant(0, tf.int64)).map(views)


def train(model, steps):
    model.steps_per_epoch = model.total_steps = steps
    model.fit(pairs(), steps_per_epoch=steps, verbose=0, shuffle=False)
    return model


def test_views_may_be_made_in_the_step(replicas):
    augmentation = recipe.v2(size=8)
    draws = tf.random.stateless_uniform([BATCH, 2, recipe.DRAWS], [1, 2])
    crops = tf.random.stateless_uniform([2, BATCH, 8, 8, 3], [3, 4], maxval=256, dtype=tf.int32)
    crops = tf.unstack(tf.cast(crops, tf.uint8))
    augment = augment_crops(augmentation)
    losses = []
    for make, batch in ((None, augment(*crops, draws)), (augment, (*crops, draws))):
        model = make_model(replicas(2), augment=make)
        model.steps_per_epoch = model.total_steps = 1
        data = tf.data.Dataset.from_tensors(batch).repeat()
        losses.append(model.fit(data, steps_per_epoch=1, verbose=0, shuffle=False).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def weights(encoder):
    return [w.numpy() for w in encoder.weights]


def test_the_key_encoder_starts_as_a_copy(replicas):
    model = make_model(replicas(1))
    for a, b in zip(weights(model.query_encoder), weights(model.key_encoder), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("count", [2, 4])
def test_replicas_hold_the_same_weights_queue_and_pointer_after_20_steps(replicas, count):
    strategy = replicas(count)
    model = train(make_model(strategy), 20)
    parameters = model.query_encoder.trainable_variables + model.key_encoder.trainable_variables
    shared = [v.value for v in parameters] + [model.queue.keys, model.queue.pointer]
    for variable in shared:
        first, *others = strategy.experimental_local_results(variable)
        for other in others:
            np.testing.assert_array_equal(first.numpy(), other.numpy())
    assert model.queue.pointer.numpy() == 20 * BATCH % 40
    statistics = model.query_encoder.backbone.get_layer("bn1").moving_mean.value
    first, second, *_ = strategy.experimental_local_results(statistics)
    assert np.any(first.numpy() != second.numpy()), "each replica keeps its own BN statistics"


def test_four_replicas_compute_what_four_bn_groups_on_one_device_do(replicas):
    keras.config.set_dtype_policy("float64")  # in which no ReLU is within rounding of its kink
    one = train(make_model(replicas(1), bn_splits=4), 5)
    four = train(make_model(replicas(4)), 5)
    parameters = (model.query_encoder.trainable_variables for model in (one, four))
    for a, b in zip(*parameters, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-9)
    np.testing.assert_allclose(one.queue.keys.numpy(), four.queue.keys.numpy(), atol=1e-9)


def test_statistics_read_and_saved_are_those_of_replica_0(replicas, tmp_path):
    strategy = replicas(2)
    model = train(make_model(strategy), 3)
    mean = model.query_encoder.backbone.get_layer("bn1").moving_mean
    copies = [c.numpy() for c in strategy.experimental_local_results(mean.value)]
    np.testing.assert_array_equal(mean.numpy(), copies[0])
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "ckpt"))
    alone = make_model(replicas(1))
    tf.train.Checkpoint(model=alone).read(path).expect_partial()
    restored = alone.query_encoder.backbone.get_layer("bn1").moving_mean.numpy()
    np.testing.assert_array_equal(restored, copies[0])


def test_shuffling_matters_with_two_bn_groups_and_not_with_one(replicas):
    def keys_after_a_step(bn_splits, shuffle):
        return train(make_model(replicas(1), bn_splits, shuffle=shuffle), 1).queue.keys.numpy()

    apart = np.abs(keys_after_a_step(4, True) - keys_after_a_step(4, False)).max()
    together = np.abs(keys_after_a_step(1, True) - keys_after_a_step(1, False)).max()
    assert apart > 1e-2 and together < 1e-5


def test_symmetric_loss_enqueues_both_views(replicas):
    model = train(make_model(replicas(1), symmetric=True), 1)
    assert model.queue.pointer.numpy() == 2 * BATCH


def test_steps_of_one_execution_are_the_same_steps(replicas):
    def run(steps_per_execution):
        model = make_model(replicas(1), steps_per_execution=steps_per_execution)
        model.steps_per_epoch, model.total_steps = 5, 10
        model.fit(pairs(), steps_per_epoch=5, epochs=2, verbose=0, shuffle=False)
        assert model.step == 10, "an execution ends with the epoch"
        return model.queue.keys.numpy()

    np.testing.assert_array_equal(run(1), run(3))


def test_under_bfloat16_queue_and_loss_stay_float32(replicas):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = train(make_model(replicas(1)), 2)
    assert model.queue.keys.dtype == tf.float32
    assert model.query_encoder.backbone.compute_dtype == "bfloat16"
    assert model(tf.zeros([2, 8, 8, 3])).dtype == tf.float32
    assert {v.dtype for v in model.query_encoder.weights} == {"float32"}
    norms = np.linalg.norm(model.queue.keys.numpy(), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
