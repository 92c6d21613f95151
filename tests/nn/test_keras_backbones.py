"""Anyone's Keras model as a backbone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.nn import replica_layers
from mocotf.nn.batch_norm import batch_norms
from mocotf.nn.keras_backbones import as_backbone
from mocotf.nn.plain import plain_backbone
from tests import keras_models

IMAGES = np.random.default_rng(0).normal(size=(8, 16, 16, 3)).astype(np.float32)


@pytest.mark.parametrize("make", keras_models.ALL)
def test_the_backbone_given_back_is_kerass_and_computes_the_same(make):
    backbone = as_backbone(make, image_size=16, bn_splits=2)
    for variable in backbone.trainable_variables:
        variable.assign_add(0.1 * tf.ones(variable.shape))
    before = [v.numpy() for v in backbone.model.weights]
    backbone(IMAGES, training=True)
    given_back = plain_backbone(backbone)
    own = {type(layer).__module__.partition(".")[0] for layer in given_back._flatten_layers()}
    assert own <= {"keras", "tests"}
    y = given_back(IMAGES)
    pooled = tf.reduce_mean(y, range(1, len(y.shape) - 1)) if len(y.shape) > 2 else y
    np.testing.assert_array_equal(pooled, backbone(IMAGES))
    changed = [np.any(a != b.numpy()) for a, b in zip(before, backbone.model.weights, strict=True)]
    statistics = ["moving" in v.path for v in backbone.model.weights]
    assert changed == statistics, "training follows the statistics, and nothing else"


@pytest.mark.parametrize("make", [*keras_models.ALL, lambda: keras_models.with_stages(pixels=True)])
def test_plain_it_is_of_kerass_layers_from_views_to_features(make):
    backbone = as_backbone(make, image_size=16, bn_splits=2, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))
    for variable in backbone.trainable_variables:
        variable.assign_add(0.1 * tf.ones(variable.shape))
    plain = backbone.plain("backbone")
    np.testing.assert_array_equal(plain(IMAGES), backbone(IMAGES))
    own = {type(layer).__module__.partition(".")[0] for layer in plain._flatten_layers()}
    assert own <= {"keras", "tests"} and plain.name == "backbone"
    mine = {id(v) for v in backbone.variables}
    assert not any(id(v) in mine for v in plain.variables)


def test_the_model_given_is_not_changed_and_its_weights_are_taken():
    model = keras_models.sequential()
    before = [w.copy() for w in model.get_weights()]
    config = model.get_config()
    backbone = as_backbone(model, image_size=16, bn_splits=4)
    for mine, theirs in zip(backbone.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    backbone(IMAGES, training=True)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert model.get_config() == config
    kinds = [type(layer) for layer in model._flatten_layers()]
    assert replica_layers.GroupBatchNormalization not in kinds


@pytest.mark.parametrize("scale", [True, False])
def test_batch_norm_takes_groups_and_unbiased_variances_and_keeps_its_own_constants(scale):
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.BatchNormalization(momentum=0.7, epsilon=0.1, scale=scale, center=scale),
            keras.layers.GlobalMaxPooling2D(),
        ]
    )
    backbone = as_backbone(model, bn_splits=2)
    y = backbone(IMAGES, training=True)
    groups = IMAGES.reshape(2, 4, 16, 16, 3)
    mean = groups.mean((1, 2, 3), keepdims=True)
    variance = groups.var((1, 2, 3), keepdims=True)
    expected = ((groups - mean) / np.sqrt(variance + 0.1)).max((2, 3)).reshape(8, 3)
    np.testing.assert_allclose(y, expected, rtol=1e-4)
    (norm,) = batch_norms(backbone)
    pixels = 4 * 16 * 16
    unbiased = 0.7 + 0.3 * variance.mean(0).ravel() * pixels / (pixels - 1)
    np.testing.assert_allclose(norm.moving_variance.numpy(), unbiased, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_mean.numpy(), 0.3 * mean.mean(0).ravel(), rtol=1e-4)


def test_maps_and_tokens_are_mean_pooled_and_that_is_said():
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(5, 3, name="c")(images)
    a_map, tokens = keras.Model(images, x), keras.Model(images, keras.layers.Reshape((-1, 5))(x))
    for model, word in ((a_map, "map"), (tokens, "tokens")):
        backbone = as_backbone(model)
        assert f": mean-pools the {word} that it returns; has no batch norm" in backbone.about
        expected = model(IMAGES).numpy().reshape(8, -1, 5).mean(1)
        np.testing.assert_allclose(backbone(IMAGES), expected, rtol=1e-5, atol=1e-6)


def test_a_model_that_preprocesses_is_given_pixels():
    images = keras.Input((16, 16, 3))
    x = keras.layers.Normalization(mean=[127.0, 127.0, 127.0], variance=[64.0, 64.0, 64.0])(images)
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    backbone = as_backbone(model, mean=mean, std=std)
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    views = (pixels / 255 - mean) / std
    np.testing.assert_allclose(backbone(tf.cast(views, "float32")), model(pixels), rtol=1e-3, atol=1e-3)
    assert "preprocesses by itself" in backbone.about


def test_of_other_channels_than_rgb_it_is_given_what_files_have():
    images = keras.Input((16, 16, 5))
    x = keras.layers.Normalization(mean=[1e4] * 5, variance=[4e6] * 5)(images)
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    mean, std = (1e4, 9e3, 8e3, 7e3, 6e3), (1e3, 2e3, 3e3, 4e3, 5e3)
    backbone = as_backbone(model, mean=mean, std=std, channels=5)
    values = np.random.default_rng(1).normal(mean, std, (2, 16, 16, 5)).astype(np.float32)
    views = ((values - mean) / std).astype(np.float32)
    np.testing.assert_allclose(backbone(views), model(values), rtol=1e-4, atol=1e-4)
    for of, channels in ((keras_models.sequential, 5), (lambda: model, None)):
        have, expected = (3, 5) if channels else (5, 3)
        with pytest.raises(
            UserError, match=f"takes images of {have} channels; expected {expected}, as"
        ):
            as_backbone(of, channels=channels)


def test_layers_are_named_alike_whatever_was_made_before():
    paths = []
    for _ in range(2):
        paths.append([v.path for v in as_backbone(keras_models.subclassed, image_size=16).variables])
        keras.layers.Conv2D(3, 3)
    assert paths[0] == paths[1]


def test_dropout_draws_otherwise_for_each_encoder_and_replica_and_goes_on(replicas):
    with replicas(2).scope():
        q, k = (as_backbone(keras_models.with_dropout, image_size=16, name=n) for n in ("q", "k"))
    k.model.set_weights(q.model.get_weights())

    @tf.function
    def run(backbone):
        return replicas(2).run(lambda: backbone(IMAGES, training=True))

    drawn = [replicas(2).experimental_local_results(run(b)) for b in (q, q, k)]
    drawn = [value.numpy().tobytes() for values in drawn for value in values]
    assert len({*drawn}) == 6
    states = [g.state for b in (q, k) for g in replica_layers.seed_generators(b)]
    assert [int(state.numpy()[1]) for state in states] == [2, 1]
    assert all(any(v is state for v in b.variables) for b, state in zip((q, k), states, strict=True))


def branches():
    images = keras.Input((16, 16, 3))
    conv = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(conv(conv(images))))


def frozen():
    model = keras_models.sequential()
    model.layers[0].trainable = False
    return model


def of_outputs(*ranks, names=None):
    images = keras.Input((16, 16, 3))
    outputs = [keras.layers.Conv2D(2, 16)(images) for _ in ranks]
    outputs = [
        keras.layers.Reshape((1,) * (rank - 2) + (2,))(y)
        for rank, y in zip(ranks, outputs, strict=True)
    ]
    if names:
        outputs = dict(zip(names, outputs, strict=True))
    return keras.Model(images, outputs if names or len(ranks) > 1 else outputs[0])


class NoConfig(keras.Model):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: of_outputs(2, 2), "returns 2 outputs; expected one output"),
        (lambda: of_outputs(2, 2, names="ab"), "returns a dictionary of a, b"),
        (lambda: of_outputs(5), r"returns \[None, 1, 1, 1, 2\]; expected features"),
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]), "8x8, views are"),
        (lambda: keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten()]), "1 channels"),
        (lambda: keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)]), "expected images"),
        (frozen, "is frozen; pre-training trains all"),
        (branches, "its layer twice is called 2 times"),
        (lambda: "a model", "returned a str; expected a keras.Model"),
    ],
)
def test_what_cannot_be_a_backbone_is_told_in_one_line(make, message):
    with pytest.raises(UserError, match=message) as error:
        as_backbone(make, image_size=16)
    assert "\n" not in str(error.value)


def test_what_cannot_be_copied_is_told_in_one_line():
    with pytest.raises(UserError, match="cannot be copied .*or a function that makes it"):
        as_backbone(NoConfig(lambda x: x), image_size=16)
