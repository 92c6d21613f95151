"""The papers' FCN on a backbone: where it looks, what it learns, and that replicas agree."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mocotf.nn.keras_backbones import as_backbone
from mocotf.nn.resnet import resnet
from mocotf.optim.sgd import SGD
from mocotf.training.fit import fit
from mocotf.transfer.backbone import pyramid
from mocotf.transfer.segmenter import IGNORED
from mocotf.transfer.segmenter import Segmenter
from tests import keras_models
from tests import tiny

RESNET = functools.partial(resnet, "resnet10")


def segmenter(strategy=None, *, classes=4, stem="cifar", make=tiny.stages, **options):
    with (strategy or tf.distribute.get_strategy()).scope():
        keras.utils.set_random_seed(0)
        backbone = pyramid(make(width=0.125, stem=stem), dilated=True)
        model = Segmenter(backbone, classes, **({"channels": 8, "dilation": 2} | options))
        model.compile(SGD(0.05, momentum=0.9, weight_decay=0.01), auto_scale_loss=False)
        model.optimizer.build(model.trained_variables)
    return model


def batches():
    """Images whose pixels are brighter the higher their class, with ignored ones."""
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 4, (4, 4, 3, 3)).repeat(6, axis=2).repeat(6, axis=3)[..., :17, :17]
    images = rng.normal(masks[..., None], 0.3, (*masks.shape, 3)).astype(np.float32)
    masks[:, 0, :5] = IGNORED  # more of them on one replica than on the other
    return images, masks.astype(np.uint8)


def train(model, steps=4):
    dataset = tf.data.Dataset.from_tensor_slices(batches()).repeat()
    fit(model, lambda step: dataset.skip(step), steps_per_epoch=4, total_steps=steps, callbacks=[])
    return model


def every_variable(model):
    return [*model.backbone.variables, *model.head.variables]


@pytest.mark.parametrize(("stem", "stride"), [("imagenet", 16), ("small", 8), ("cifar", 4)])
def test_the_map_is_as_fine_as_the_stem_makes_it_and_the_answer_as_the_image(stem, stride):
    model = segmenter(stem=stem, make=RESNET)
    assert model.stride == stride
    for height, width in ((33, 49), (30, 47)):
        images = tf.random.normal([2, height, width, 3])
        assert model(images).shape == (2, height, width, 4)
        found = model.classify(images)
        assert found.shape == (2, height, width) and found.dtype == tf.uint8


def test_its_head_is_the_papers():
    model = segmenter(channels=256, dilation=6)
    convs = [layer for layer in model.head.layers if isinstance(layer, keras.layers.Conv2D)]
    shapes = [(c.kernel_size, c.filters, c.dilation_rate, c.strides, c.use_bias) for c in convs]
    assert shapes[:2] == [((3, 3), 256, (6, 6), (1, 1), False)] * 2
    assert shapes[2] == ((1, 1), 4, (1, 1), (1, 1), True)
    norms = [layer for layer in model.head.layers if "head.bn" in layer.name]
    assert len(norms) == 2 and all(layer.synchronized for layer in norms)


def test_the_head_looks_as_far_as_its_dilation_says():
    head = segmenter(dilation=6).head
    features = tf.Variable(tf.random.normal([1, 31, 31, head.input.shape[-1]]))
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(head(features)[0, 15, 15])
    seen = np.any(tape.gradient(score, features)[0].numpy() != 0, axis=-1)
    assert np.flatnonzero(seen.any(axis=1)).tolist() == [3, 9, 15, 21, 27]
    assert np.flatnonzero(seen.any(axis=0)).tolist() == [3, 9, 15, 21, 27]


def test_the_head_is_what_pytorch_computes():
    head = segmenter().head
    rng = np.random.default_rng(0)
    for variable in head.variables:
        variable.assign(rng.uniform(0.1, 1, variable.shape))
    features = rng.normal(size=(2, 9, 9, head.input.shape[-1])).astype(np.float32)
    x = torch.tensor(features).permute(0, 3, 1, 2)
    for i in (1, 2):
        kernel = head.get_layer(f"head.conv{i}").kernel.numpy().transpose(3, 2, 0, 1)
        x = torch.nn.functional.conv2d(x, torch.tensor(kernel), padding=2, dilation=2)
        norm = head.get_layer(f"head.bn{i}").variables
        gamma, beta, mean, variance = (torch.tensor(v.numpy()) for v in norm)
        x = torch.nn.functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-5).relu()
    kernel, bias = (torch.tensor(v.numpy()) for v in head.get_layer("head.score").variables)
    expected = torch.nn.functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias).permute(0, 2, 3, 1)
    np.testing.assert_allclose(head(features), expected, rtol=1e-4)


def test_scores_lie_where_the_places_of_the_map_look(monkeypatch):
    """A map that says where its places look: the answer must say where each pixel is."""
    model = segmenter(stem="small", classes=2)
    places = tf.stack(tf.meshgrid(tf.range(4.0), tf.range(5.0), indexing="ij"), axis=-1)[None]
    monkeypatch.setattr(model, "head", lambda features, training: model.stride * places)
    scores = model(tf.zeros([1, 25, 31, 3]))  # as if of 25 × 33
    expected = np.stack(np.mgrid[:25, :31], axis=-1)[None]
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_a_place_of_the_map_looks_around_its_pixel():
    model = segmenter(stem="small", make=RESNET)
    images = tf.Variable(tf.random.normal([1, 161, 161, 3]))
    with tf.GradientTape() as tape:
        seen = tf.reduce_sum(model.backbone(images)[0, 10, 10])  # of 21 × 21
    rows, columns = np.nonzero(np.any(tape.gradient(seen, images)[0].numpy() != 0, axis=-1))
    assert (rows.min() + rows.max()) / 2 == (columns.min() + columns.max()) / 2 == 80


def test_the_loss_is_the_mean_over_pixels_that_are_not_ignored():
    images, masks = (part[0] for part in batches())
    scores = torch.tensor(segmenter()(images, training=True).numpy().reshape(-1, 4))
    classes = torch.tensor(masks.reshape(-1).astype(np.int64))
    expected = torch.nn.functional.cross_entropy(scores, classes, ignore_index=IGNORED)
    logs = segmenter().train_step((tf.constant(images), tf.constant(masks)))
    assert float(logs["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_a_batch_of_ignored_pixels_teaches_nothing_and_breaks_nothing():
    images, masks = (tf.constant(part[0]) for part in batches())
    logs = segmenter().train_step((images, tf.fill(masks.shape, tf.constant(IGNORED, tf.uint8))))
    assert float(logs["loss"]) == 0 and float(logs["gradient_norm"]) == 0


def test_all_layers_learn_and_brightness_is_learned():
    model = segmenter()
    before = {v.path: v.numpy() for v in every_variable(model)}
    train(model, steps=60)
    for variable in every_variable(model):
        assert not np.array_equal(before[variable.path], variable.numpy()), variable.path
    images, masks = (part[0] for part in batches())
    found = model.classify(images).numpy()
    assert np.mean((found == masks)[masks != IGNORED]) > 0.6


@pytest.mark.slow
def test_two_replicas_do_what_one_does_with_the_joint_batch(replicas):
    """Statistics of batch norm, the loss and its gradients are those of all pixels together."""
    one, two = (train(segmenter(replicas(n)), steps=3) for n in (1, 2))
    for a, b in zip(every_variable(one), every_variable(two), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-4, err_msg=a.path)


def keras_backbone(**_):
    return as_backbone(keras_models.with_stages)


def test_a_keras_model_with_stages_is_tuned():
    model = segmenter(make=keras_backbone)
    before = {v.path: v.numpy() for v in every_variable(model)}
    assert len(before) == len(every_variable(model))
    train(model, steps=1)
    for variable in every_variable(model):
        assert not np.array_equal(before[variable.path], variable.numpy()), variable.path


def test_scores_of_a_keras_model_lie_in_squares(monkeypatch):
    """A map that says where the middles of its squares are: the answer must say where each pixel is."""
    model = segmenter(make=keras_backbone, classes=2)
    assert model.stride == 32
    places = tf.stack(tf.meshgrid(tf.range(2.0), tf.range(3.0), indexing="ij"), axis=-1)[None]
    monkeypatch.setattr(model, "head", lambda features, training: 32 * places + 15.5)
    scores = model(tf.zeros([1, 64, 90, 3]))[0].numpy()  # as if of 64 × 96
    expected = np.stack(np.mgrid[:64, :90], axis=-1)
    inside = np.clip(expected, 15.5, [47.5, 79.5])  # beyond the first and last middles nothing changes
    np.testing.assert_allclose(scores, inside, atol=1e-4)


def test_names_of_variables_are_different():
    """Checkpoints know the optimizer's variables by them."""
    names = [v.path for v in segmenter().optimizer.variables]
    assert len(names) == len(set(names))
