"""What was exported is trained on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.data.views.tensorflow_ops import normalize
from mocotf.moco.saved_run import open_run
from mocotf.serving.export import export
from tests.saved_run import write_run
from tests.tiny import ARCH


def pictures(count):
    """Returns images in [0, 1] of two classes, and labels: one is lighter at the top."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    ramp = np.linspace(0, 0.5, 16)[None, :, None, None] * np.where(labels, 1, -1)[:, None, None, None]
    return np.clip(0.5 + ramp + rng.normal(0, 0.2, (count, 16, 16, 3)), 0, 1).astype(np.float32), labels


def reload(version):
    return keras.layers.TFSMLayer(
        version, call_endpoint="features", call_training_endpoint="features_in_training"
    )


def test_as_a_keras_layer_it_is_fine_tuned_with_real_batch_norm(version):
    images, labels = pictures(64)
    layer = reload(version)
    model = keras.Sequential([keras.Input((None, None, 3)), layer, keras.layers.Dense(2)])
    before = {v.path: v.numpy() for v in layer.weights}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    model.optimizer.build(model.trainable_variables)  # see docs/guides/serving.md
    losses = model.fit(images, labels, batch_size=16, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert np.mean(np.argmax(model.predict(images, verbose=0), 1) == labels) > 0.9
    assert sum("moving" in v.name for v in layer.weights) == len(layer.non_trainable_weights) == 2
    for variable in layer.weights:
        assert not np.array_equal(before[variable.path], variable.numpy()), variable.path


@pytest.mark.parametrize("arch", [ARCH, pytest.param("resnet10", marks=pytest.mark.slow)])
def test_it_computes_and_differentiates_as_the_encoder_does(request, tmp_path, arch):
    if arch == ARCH:
        run_dir, version = map(request.getfixturevalue, ("run_dir", "version"))
    else:  # with shortcuts
        run_dir, version = tmp_path / "run", tmp_path / "served" / "2"
        write_run(run_dir, arch=arch)
        export(open_run(str(run_dir)), str(tmp_path / "served"))
    run = open_run(str(run_dir))
    encoder, layer = run.encoder(), reload(str(version))
    images = tf.constant(pictures(8)[0])
    views = normalize(images, run.view)
    for training in (False, True):
        with tf.GradientTape(persistent=True) as tape:
            expected = encoder.backbone(views, training=training)
            found = layer(images, training=training)
        assert_near(found, expected)
        ours = tape.gradient(found, [v.value for v in layer.trainable_weights])
        theirs = tape.gradient(expected, [v.value for v in encoder.backbone.trainable_variables])
        by_size = [sorted(np.linalg.norm(g) for g in gradients) for gradients in (ours, theirs)]
        np.testing.assert_allclose(*by_size, rtol=1e-3)
    assert_near(layer(images), encoder.backbone(views))  # both have moved their statistics


def test_tensorflows_own_interface_of_reusable_models(run_dir, version):
    run, loaded = open_run(run_dir), tf.saved_model.load(version)
    encoder = run.encoder()
    images = tf.constant(pictures(8)[0])
    views = normalize(images, run.view)
    assert_near(loaded(images), encoder.backbone(views))
    assert_near(loaded.embedding(images), encoder(views))
    with tf.GradientTape() as tape:
        features = loaded(images, training=True)
    assert_near(features, encoder.backbone(views, training=True))
    assert None not in tape.gradient(features, list(loaded.trainable_variables))
    assert_near(loaded.embedding_in_training(images), encoder(views, training=True))
    for found, variable in zip(loaded.variables, encoder.backbone.variables, strict=True):
        np.testing.assert_allclose(found, variable, rtol=1e-5, atol=1e-6)
    assert not loaded.regularization_losses


def test_images_of_another_size_are_taken(run_dir, version):
    run = open_run(run_dir)
    images = tf.random.stateless_uniform([2, 21, 30, 3], [0, 0])
    expected = run.encoder().backbone(normalize(images, run.view))
    assert_near(reload(version)(images), expected)


def assert_near(found, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
