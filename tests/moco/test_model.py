"""What a step of MoCo changes, and what it leaves alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.pretraining import augment_crops
from mocotf.data.views import augmentations
from mocotf.moco.model import MoCo
from mocotf.moco.shuffle import shuffle_keys
from mocotf.nn import xla
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.sgd import SGD
from mocotf.training.replicas import check_replicas
from mocotf.training.state import shared_state
from tests.tiny import maker

BATCH = 16
BACKBONE = maker(width=1 / 8, stem="cifar")


def make_model(strategy, execution=1, jit_compile=False, backbone=BACKBONE, **options):
    """Returns a model, compiled for so many steps of an execution; options are those of `MoCo`."""
    keras.utils.set_random_seed(0)
    options = {"dim": 8, "mlp": True, "K": 40, "m": 0.9, "T": 0.2} | options
    with strategy.scope():
        model = MoCo(backbone, **options)
        rule = LossScaledSGD if model.compute_dtype == "float16" else SGD
        how = {"steps_per_execution": execution, "jit_compile": jit_compile}
        model.compile(rule(0.05, weight_decay=1e-3), auto_scale_loss=False, **how)
    return model


def pairs(seed=0):
    """An endless data set of view pairs, different each step."""

    def views(i):
        x = tf.random.stateless_normal([2, BATCH, 8, 8, 3], tf.stack([i, seed]))
        return x[0], x[1]

    return tf.data.Dataset.counter(tf.constant(0, tf.int64)).map(views)


def train(model, last, first=0, batches=None):
    """Trains from one step to another; returns the model, whose history has every step."""
    model.steps_per_epoch, model.total_steps = 1, last
    if batches is None:
        batches = shuffle_keys(pairs(), model.seed) if model.shuffle == "input" else pairs()
    steps = {"steps_per_epoch": 1, "epochs": last - first}
    model.fit(batches.skip(first), **steps, verbose=0, shuffle=False)
    return model


@pytest.mark.slow
def test_views_may_be_made_in_the_step(replicas):
    augmentation = augmentations.v2(size=8)
    draws = tf.random.stateless_uniform([BATCH, 2, augmentations.DRAWS], [1, 2])
    crops = tf.random.stateless_uniform([2, BATCH, 8, 8, 3], [3, 4], maxval=256, dtype=tf.int32)
    crops = tf.unstack(tf.cast(crops, tf.uint8))
    augment = augment_crops(augmentation)
    losses = []
    for make, batch in ((None, augment(*crops, draws)), (augment, (*crops, draws))):
        batches = tf.data.Dataset.from_tensors(batch)
        model = train(make_model(replicas(1), augment=make), 1, batches=batches)
        losses.append(model.history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_the_key_encoder_starts_as_a_copy(replicas):
    model = make_model(replicas(1))
    for a, b in zip(model.query_encoder.weights, model.key_encoder.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.fixture(scope="module")
def twice(replicas):
    """Returns a model trained on two replicas."""
    return train(make_model(replicas(2)), 20)


def test_replicas_hold_the_same_weights_queue_and_pointer(replicas, twice):
    strategy = replicas(2)
    for variable in shared_state(twice).values():
        first, second = strategy.experimental_local_results(getattr(variable, "_value", variable))
        np.testing.assert_array_equal(first.numpy(), second.numpy())
    check_replicas(strategy, shared_state(twice))
    assert twice.queue.pointer.numpy() == 20 * BATCH % 40


def test_statistics_read_and_saved_are_those_of_replica_0(replicas, twice, tmp_path):
    mean = twice.query_encoder.backbone.get_layer("bn1").moving_mean
    first, second = (c.numpy() for c in replicas(2).experimental_local_results(mean.value))
    assert np.any(first != second), "each replica keeps its own"
    np.testing.assert_array_equal(mean.numpy(), first)
    path = tf.train.Checkpoint(model=twice).write(str(tmp_path / "ckpt"))
    alone = make_model(replicas(1))
    tf.train.Checkpoint(model=alone).read(path).expect_partial()
    restored = alone.query_encoder.backbone.get_layer("bn1").moving_mean.numpy()
    np.testing.assert_array_equal(restored, first)


def test_replicas_stay_alike_where_xla_does_not_work(replicas, monkeypatch, optimised_graphs):
    monkeypatch.setattr(xla, "works", lambda: False)
    keras.config.set_dtype_policy("float64")
    model = train(make_model(replicas(2)), 2)
    for variable in model.optimizer.slots["velocity"]:
        np.testing.assert_array_equal(*replicas(2).experimental_local_results(variable.value))


@pytest.mark.slow  # of two: tests/moco/test_step_oracle.py
def test_four_replicas_compute_what_four_bn_groups_on_one_device_do(replicas):
    keras.config.set_dtype_policy("float64")  # in which no ReLU is within rounding of its kink
    one = train(make_model(replicas(1), bn_splits=4), 4)
    four = train(make_model(replicas(4)), 4)
    check_replicas(replicas(4), shared_state(four))
    assert_same(one, four)


def test_shuffling_matters_with_two_bn_groups_and_not_with_one(replicas):
    x_k = tf.random.stateless_normal([BATCH, 8, 8, 3], [0, 1])

    def effect(bn_splits):
        model = make_model(replicas(1), bn_splits=bn_splits)
        keys, _ = replicas(1).run(model.encode_keys, (x_k,))
        model.shuffle = "off"
        unshuffled, _ = replicas(1).run(model.encode_keys, (x_k,))
        return np.abs(keys - unshuffled).max()

    assert effect(bn_splits=4) > 1e-2 and effect(bn_splits=1) < 1e-5


@pytest.mark.slow  # each: tests/moco/test_step_oracle.py
def test_input_and_step_may_permute_the_key_images_alike(replicas):
    gather, input_ = (
        train(make_model(replicas(2), shuffle=shuffle, seed=7), 4) for shuffle in ("gather", "input")
    )
    np.testing.assert_array_equal(gather.queue.keys.numpy(), input_.queue.keys.numpy())
    for a, b in zip(gather.weights, input_.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.slow  # each: tests/moco/test_step_oracle.py
def test_micro_batches_compute_what_bn_groups_do(replicas):
    keras.config.set_dtype_policy("float64")
    groups = train(make_model(replicas(2), bn_splits=4, shuffle="off"), 3)
    parts = train(make_model(replicas(2), bn_splits=2, shuffle="off", grad_accum_steps=2), 3)
    assert_same(groups, parts)


def test_accumulation_changes_nothing_where_images_do_not_meet(replicas):
    def without_batch_norm():
        images = keras.Input((None, None, 3), dtype="float64")
        features = keras.layers.Conv2D(8, 3, activation="relu")(images)
        return keras.Model(images, keras.layers.GlobalAveragePooling2D()(features))

    keras.config.set_dtype_policy("float64")
    options = {"backbone": without_batch_norm, "symmetric": True}
    assert_same(*(train(make_model(replicas(1), grad_accum_steps=A, **options), 3) for A in (1, 2)))


def assert_same(a, b):
    """Asserts that two models agree after training, in parameters, queue and reported numbers."""
    for one, other in zip(a.query_encoder.weights, b.query_encoder.weights, strict=True):
        if one.trainable:
            np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-9)
    np.testing.assert_allclose(a.queue.keys.numpy(), b.queue.keys.numpy(), atol=1e-9)
    assert (a.step, a.queue.pointer.numpy()) == (b.step, b.queue.pointer.numpy())
    for name in {*a.history.history} - {"feature_std"}:  # which is of the images that are at hand
        values = a.history.history[name]
        np.testing.assert_allclose(values, b.history.history[name], rtol=1e-6)


@pytest.mark.parametrize(("A", "loops"), [(1, []), (4, [1, 1])])
def test_micro_batches_run_one_after_another(replicas, A, loops):
    model = make_model(replicas(1), grad_accum_steps=A)
    step = tf.function(lambda *views: replicas(1).run(model.train_step, args=(views,)), autograph=False)
    operations = step.get_concrete_function(*next(iter(pairs()))).graph.get_operations()
    while_ops = [op for op in operations if op.type in ("While", "StatelessWhile")]
    assert [op.get_attr("parallel_iterations") for op in while_ops] == loops
    assert all("Conv2D" not in op.type for op in operations) == (A > 1), "no part outside of a loop"


def test_steps_of_one_execution_are_the_same_steps(replicas):
    def run(execution):
        model = make_model(replicas(1), execution=execution)
        model.steps_per_epoch, model.total_steps = 5, 10
        model.fit(pairs(), steps_per_epoch=5, epochs=2, verbose=0, shuffle=False)
        assert model.step == 10, "an execution ends with the epoch"
        return model.queue.keys.numpy()

    np.testing.assert_array_equal(run(1), run(3))
