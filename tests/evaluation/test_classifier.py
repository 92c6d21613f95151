"""Linear classifiers on a backbone: frozen, tuned, several at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.evaluation.classifier import Classifier
from mocotf.evaluation.scores import Scores
from mocotf.optim.sgd import SGD
from mocotf.training.fit import fit
from tests import tiny


def classifier(strategy, *, lr=0.5, scales=None, **options):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = Classifier(tiny.stages(0.125, "cifar"), 3, **options)
        sgd = SGD(lr, momentum=0.9, weight_decay=0.01, lr_scales=scales)
        model.compile(optimizer=sgd, auto_scale_loss=False)
        sgd.build(model.trained_variables)
    return model


def batches():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 8, 16, 16, 3)).astype(np.float32), rng.integers(0, 3, (4, 8))


def train(model, steps=4):
    dataset = tf.data.Dataset.from_tensor_slices(batches()).repeat()
    fit(model, lambda step: dataset.skip(step), steps_per_epoch=4, total_steps=steps, callbacks=[])
    return model


def unchanged(before, model):
    """Returns, for each variable of the backbone, whether it is what it was."""
    after = model.backbone.variables
    return [np.array_equal(a, b.numpy()) for a, b in zip(before, after, strict=True)]


def test_the_linear_protocol_is_pytorchs_and_leaves_the_backbone_alone(replicas):
    model = classifier(replicas(1))
    before = [v.numpy() for v in model.backbone.variables]
    W = torch.tensor(model.heads[0].kernel.numpy(), requires_grad=True)
    b = torch.zeros(3, requires_grad=True)
    sgd = torch.optim.SGD([W, b], 0.5, momentum=0.9, weight_decay=0.01)
    for x, labels in zip(*batches(), strict=True):
        features = torch.tensor(model.backbone(x, training=False).numpy())
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(features @ W + b, torch.tensor(labels)).backward()
        sgd.step()
    train(model)
    assert all(unchanged(before, model))
    np.testing.assert_allclose(model.heads[0].kernel.numpy(), W.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(model.heads[0].bias.numpy(), b.detach().numpy(), atol=1e-5)


def test_classifiers_of_a_sweep_learn_as_if_each_were_alone(replicas):
    sweep = train(classifier(replicas(1), heads=["a", "b"], scales={"b": 0.1}))
    for head, lr in zip(sweep.heads, (0.5, 0.05), strict=True):
        alone = train(classifier(replicas(1), lr=lr))
        np.testing.assert_allclose(head.kernel.numpy(), alone.heads[0].kernel.numpy(), rtol=1e-5)


def test_tuning_changes_every_layer_and_batch_norm_statistics(replicas):
    model = classifier(replicas(1), tune=True, lr=0.05)
    before = [v.numpy() for v in model.backbone.variables]
    train(model)
    assert not any(unchanged(before, model))


def test_rates_of_layers_are_scaled(replicas):
    model = classifier(replicas(1), tune=True, lr=0.05, scales={"": 0.0, "layer4": 1.0, "fc": 1.0})
    before = {v.path: v.numpy() for v in model.trained_variables}
    train(model, steps=1)
    for variable in model.trained_variables:
        moved = not np.array_equal(before[variable.path], variable.numpy())
        assert moved == variable.path.startswith(("layer4", "fc")), variable.path


def test_two_replicas_do_what_one_does(replicas):
    one, two = (train(classifier(replicas(n))) for n in (1, 2))
    np.testing.assert_allclose(one.heads[0].kernel.numpy(), two.heads[0].kernel.numpy(), atol=1e-6)


def test_scores_count_right_answers():
    scores = np.array([[3, 1, 0], [0, 1, 3], [1, 0, 5], [9, 1, 1], [np.nan] * 3], np.float32)
    found = Scores.of(scores, np.array([0, 1, 2, 2, 1]))
    assert found.confusion.tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 1]]
    assert found.top1 == pytest.approx(40) and found.top5 == 100
    assert found.of_classes() == pytest.approx([100, 0, 50])
    assert list(found.lowest(2).items()) == [(1, 0), (2, 50)]
    # Nothing is told of a class without images.
    found = Scores.of(np.eye(3, dtype=np.float32)[[1, 1]], np.array([0, 1]))
    assert list(found.lowest(5).items()) == [(0, 0), (1, 100)]


def test_top5_counts_the_five_likeliest():
    scores = np.eye(8, dtype=np.float32) * -1 + np.arange(8, dtype=np.float32) * 0.1
    assert Scores.of(scores, np.arange(8)).top5 == 0  # the right class is the last of eight
    assert Scores.of(np.tile(np.arange(8.0), (8, 1)), np.arange(8)).top5 == 62.5


def test_the_table_names_classes(tmp_path):
    found = Scores.of(np.eye(2, dtype=np.float32)[[0, 1, 1]], np.array([0, 0, 1]))
    found.write(str(tmp_path / "t.csv"), ["cat, tabby", "dog"])
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == 'class,images,top1,"taken for cat, tabby",taken for dog'
    assert lines[1:] == ['"cat, tabby",2,50.00,1,1', "dog,1,100.00,0,1"]
