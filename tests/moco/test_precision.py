"""Training in half precision, and in a step that XLA compiles whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.optim.loss_scale import START
from tests.moco.test_model import BATCH
from tests.moco.test_model import make_model
from tests.moco.test_model import train

POLICIES = {"mixed_float16": 2e-3, "mixed_bfloat16": 1e-2}  # and how far the loss may be off, relative


def losses(model, steps, data=None):
    """Trains; returns the loss of every step."""
    return np.array(train(model, steps, batches=data).history.history["loss"])


@pytest.fixture(scope="module")
def loss_in_float32(replicas):
    return losses(make_model(replicas(1)), 1)


@pytest.mark.parametrize(("policy", "tolerance"), POLICIES.items())
def test_the_loss_is_that_of_float32_which_queue_statistics_and_weights_are_kept_in(
    loss_in_float32, replicas, policy, tolerance
):
    keras.config.set_dtype_policy(policy)
    model = make_model(replicas(1))
    np.testing.assert_allclose(losses(model, 1), loss_in_float32, rtol=tolerance)
    assert model.query_encoder.backbone.compute_dtype == policy.removeprefix("mixed_")
    assert {v.dtype for v in model.weights + model.optimizer.slots["velocity"]} == {"float32"}
    assert model.queue.keys.dtype == tf.float32 == model(tf.zeros([2, 8, 8, 3])).dtype
    np.testing.assert_allclose(np.linalg.norm(model.queue.keys.numpy(), axis=1), 1, rtol=1e-5)


def test_float16_learns_a_tiny_problem(replicas):
    keras.config.set_dtype_policy("mixed_float16")
    colours = tf.random.stateless_normal([BATCH, 1, 1, 3], [7, 7])
    noise = tf.random.stateless_normal([2, BATCH, 8, 8, 3], [7, 8])
    views = tuple(tf.unstack(colours + 0.1 * noise))  # sixteen images, hardly augmented
    model = make_model(replicas(1), bn_splits=2)
    found = losses(model, 40, tf.data.Dataset.from_tensors(views).repeat())
    assert np.all(np.isfinite(found))
    assert found[-5:].mean() < 0.8 * found.max()  # which is when the queue has filled
    assert model.optimizer.scale.numpy() <= START


# Over replicas: tests/optim/test_loss_scale.py
def test_a_step_that_overflows_changes_no_weight_and_counts(replicas):
    keras.config.set_dtype_policy("mixed_float16")
    model = make_model(replicas(1))
    model.optimizer.scale.assign(1e30)
    before = [w.numpy() for w in model.query_encoder.trainable_variables]
    assert np.isfinite(losses(model, 1)[0])
    for a, b in zip(before, model.query_encoder.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
        assert not np.any(model.optimizer.slots_of(b)[0].numpy())
    assert model.step == 1 and model.queue.pointer.numpy() == BATCH
    np.testing.assert_allclose(model.optimizer.scale.numpy(), 5e29)


@pytest.mark.parametrize(
    ("policy", "rtol"), [("float32", 1e-4), pytest.param("float64", 1e-9, marks=pytest.mark.slow)]
)
def test_a_step_that_xla_compiles_whole_computes_the_same(replicas, policy, rtol):
    keras.config.set_dtype_policy(policy)
    plain, whole = (make_model(replicas(1), bn_splits=2, jit_compile=jit) for jit in (False, True))
    np.testing.assert_allclose(losses(whole, 2), losses(plain, 2), rtol=rtol)
    np.testing.assert_allclose(whole.queue.keys.numpy(), plain.queue.keys.numpy(), atol=100 * rtol)
