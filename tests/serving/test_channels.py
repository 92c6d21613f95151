"""Exports of runs whose images are not RGB: what they are asked, and what evaluation sees."""

import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mocotf.data.pretraining import prepare
from mocotf.evaluation.head import Head
from mocotf.moco.saved_run import open_run
from mocotf.serving import saved_model
from mocotf.serving.export import export
from mocotf.serving.session import SessionModel
from tests.data.support import example
from tests.saved_run import write_run

UNITS = 3e3, 2e3  # mean and std of all channels, of 16 bits


def values(channels, *shape):
    """Returns images of some channels in their own units, float32 whole numbers."""
    rng = np.random.default_rng(0)
    return np.round(rng.normal(*UNITS, (*shape, channels))).clip(0, 65535).astype(np.float32)


def png(image, dtype=np.uint16):
    return tf.io.encode_png(image.astype(dtype)).numpy()


@pytest.fixture(scope="module")
def exported(once):
    """Returns a function from a number of channels to the run, its version's path and metadata."""

    def make(channels):
        def write(folder):
            numbers = {
                n: ",".join([str(u)] * channels) for n, u in zip(("mean", "std"), UNITS, strict=True)
            }
            write_run(folder / "run", channels=str(channels), width="1.0", **numbers)
            export(open_run(str(folder / "run")), str(folder / "served"))

        folder = once(f"served-{channels}", write)
        version = folder / "served" / "2"
        return (
            open_run(str(folder / "run")),
            version,
            json.loads((version / "metadata.json").read_text()),
        )

    return make


def expected(run, images):
    """Returns embedding and features of images, by the run's own evaluation, each alone."""
    encoder = run.encoder()
    views = tf.stack([prepare(tf.constant(image, tf.float32), run.view) for image in images])
    features = encoder.backbone(views, training=False)
    return {"embedding": encoder.embed(features).numpy(), "features": features.numpy()}


def assert_answers(outputs, truth, valid):
    assert outputs["valid"].tolist() == valid
    for name, answers in truth.items():
        largest = np.abs(answers).max()
        np.testing.assert_allclose(outputs[name][valid], answers, rtol=1e-5, atol=1e-5 * largest)
        assert not outputs[name][np.logical_not(valid)].any()


@pytest.mark.parametrize("channels", [4, 5])
def test_pixels_in_the_units_of_files_are_what_evaluation_sees(exported, channels):
    run, version, told = exported(channels)
    model, images = SessionModel(str(version)), values(channels, 3, 40, 31)
    truth = expected(run, images)
    holed = np.concatenate([images, images[:2]])
    holed[3, 5, 6, 0], holed[4, 1, 1, 1] = np.nan, -np.inf
    assert_answers(model.predict("serving_tensor", holed), truth, [True] * 3 + [False] * 2)
    assert told["channels"] == channels and max(told["largest_difference"].values()) <= 1e-5
    if channels == 5:  # no file of that many is read
        assert told["signatures"] == ["serving_default", "serving_tensor"]
        assert_answers(model.predict("serving_default", images), truth, [True] * 3)
    model.close()
    loaded = tf.saved_model.load(str(version))
    views = (images - run.view.mean) / run.view.std
    features = run.encoder().backbone(tf.constant(views, tf.float32), training=False)
    np.testing.assert_allclose(loaded.features(images), features, rtol=1e-4, atol=1e-5)


def test_a_classifier_of_many_channels_takes_pixels(exported, tmp_path):
    run, _, _ = exported(5)
    kernel = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    head = Head(("crop", "water"), kernel, np.zeros(2, np.float32))
    saved_model.save(run.encoder(precision="float32"), run.view, str(tmp_path / "1"), head)
    images, model = values(5, 2, 20, 30), SessionModel(str(tmp_path / "1"))
    probabilities = head.probabilities(expected(run, images)["features"])
    outputs = model.predict("classify", images)
    np.testing.assert_allclose(outputs["probabilities"], probabilities, rtol=1e-4, atol=1e-6)
    model.close()


def test_pngs_are_read_with_all_bits_and_by_no_python(exported):
    run, version, _ = exported(4)
    deep, flat = values(4, 30, 20), values(4, 16, 16) // 256
    veiled, tiff = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(veiled, "PNG")
    Image.fromarray(flat.astype(np.uint8)).save(tiff, "TIFF")
    files = [png(deep), veiled.getvalue(), png(flat, np.uint8), tiff.getvalue(), b"", png(deep)[:99]]
    valid = [True, False, True, False, False, False]
    truth, model = expected(run, [deep, flat]), SessionModel(str(version))
    assert_answers(model.predict("serving_default", np.array(files, object)), truth, valid)
    examples = np.array([example(image__encoded=file) for file in files], object)
    assert_answers(model.predict("serving_example", examples), truth, valid)
    lower = model.predict("serving_default", np.array([png(deep // 16 * 16)], object))
    assert not np.allclose(lower["embedding"], truth["embedding"][:1], atol=1e-6), "of all bits"
    model.close()
    assert b"PyFunc" not in pathlib.Path(version, "saved_model.pb").read_bytes()
