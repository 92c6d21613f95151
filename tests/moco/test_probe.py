"""The online probe: learns as a classifier does, and leaves the encoder alone."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.moco.probe import Probe
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.state import state_of
from mocotf.training.weights import load_state
from tests.moco.test_model import BATCH
from tests.moco.test_model import make_model
from tests.moco.test_model import pairs
from tests.moco.test_model import train


def test_learns_by_pytorchs_sgd_from_features_of_unit_length():
    rng = np.random.default_rng(0)
    probe = Probe(6, 3)
    W, b = torch.zeros(6, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    sgd = torch.optim.SGD([W, b], lr=1.0, momentum=0.9)
    for _ in range(5):
        features = (20 * rng.normal(size=(8, 6))).astype(np.float32)
        labels = rng.integers(-1, 3, 8)
        found = probe.learn(tf.constant(features), tf.constant(labels))
        known = torch.tensor(labels >= 0)
        x = torch.nn.functional.normalize(torch.tensor(features))[known]
        loss = torch.nn.functional.cross_entropy(x @ W + b, torch.tensor(labels)[known])
        right = ((x @ W + b).argmax(1) == torch.tensor(labels)[known]).float().mean()
        np.testing.assert_allclose(found["probe_loss"], loss.item(), rtol=1e-5)
        np.testing.assert_allclose(found["probe_acc1"], 100 * right.item(), rtol=1e-5)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    np.testing.assert_allclose(probe.W.numpy(), W.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(probe.b.numpy(), b.detach().numpy(), atol=1e-5)


def test_a_batch_without_labels_teaches_nothing():
    probe = Probe(4, 3)
    found = probe.learn(tf.ones([5, 4]), tf.fill([5], tf.constant(-1, tf.int64)))
    assert float(found["probe_loss"]) == 0 and not probe.W.numpy().any()


@pytest.mark.parametrize(
    "options",
    [
        {"replicas": 2},
        pytest.param({"grad_accum_steps": 2, "symmetric": True}, marks=pytest.mark.slow),
    ],
)
def test_training_with_a_probe_is_training_without_bit_for_bit(replicas, options):
    options = dict(options)
    strategy = replicas(options.pop("replicas", 1))
    alone = state_of(train(make_model(strategy, **options), 4))
    labels = tf.range(BATCH, dtype=tf.int64) % 3
    labelled = pairs().map(lambda x_q, x_k: (x_q, x_k, labels))
    model = train(make_model(strategy, probe_classes=3, **options), 4, batches=labelled)
    beside = state_of(model)
    assert beside.keys() - alone.keys() == {f"probe/{name}" for name in model.probe.named}
    for name, variable in alone.items():
        np.testing.assert_array_equal(variable.numpy(), beside[name].numpy(), err_msg=name)
    assert model.probe.W.numpy().any() and 0 < model.history.history["probe_loss"][-1] < 5


def test_what_a_run_with_a_probe_learned_is_read_without_the_probe(replicas, tmp_path):
    probed, model = make_model(replicas(1), probe_classes=3), make_model(replicas(1))
    probed.key_encoder.weights[0].assign(1 + probed.key_encoder.weights[0])
    checkpoints = Checkpoints(str(tmp_path), probed)
    checkpoints.save()
    assert checkpoints.wait()
    load_state(model, str(tmp_path / "ckpt-0"))
    expected = state_of(probed)
    for name, variable in state_of(model).items():
        np.testing.assert_array_equal(variable.numpy(), expected[name].numpy(), err_msg=name)
