"""What a new run begins with."""

import functools
import types

import keras
import keras_hub
import numpy as np
import pytest
from keras.src.utils import file_utils

from mocotf.errors import UserError
from mocotf.moco.start import start_from
from mocotf.nn.backbone import backbone_maker
from mocotf.nn.plain import plain_backbone
from mocotf.nn.settings import EncoderSettings
from mocotf.training.checkpoints import Checkpoints
from tests import keras_models
from tests import tiny
from tests.moco.test_model import make_model
from tests.tiny import maker

VIT = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8, "patch_size": 8}


def config(channels=None, **settings):
    """Returns what of a `Config` a start asks for."""
    view = types.SimpleNamespace(size=keras_models.SIDE, channels=channels)
    return types.SimpleNamespace(encoder=EncoderSettings(**settings), view=view)


def saved(model, folder):
    checkpoints = Checkpoints(str(folder / "checkpoints"), model)
    model.optimizer.iterations.assign(2)
    checkpoints.save()
    checkpoints.wait()


def test_a_new_run_may_start_from_the_query_encoder_of_another(replicas, tmp_path):
    model = make_model(replicas(2))
    for weight in model.query_encoder.weights:
        weight.assign(weight + 1)
    saved(model, tmp_path)
    for path in (tmp_path, tmp_path / "checkpoints" / "ckpt-2"):
        new = make_model(replicas(2), K=48)  # only encoders must agree
        queue = new.queue.keys.numpy()
        start_from(new, config(), str(path))
        encoders = model.query_encoder, new.query_encoder, new.key_encoder
        for a, b, c in zip(*(encoder.weights for encoder in encoders), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            np.testing.assert_array_equal(a.numpy(), c.numpy())
        np.testing.assert_array_equal(queue, new.queue.keys.numpy())
        assert new.step == 0


def begun(replicas, start, make=None, size=keras_models.SIDE, channels=None, **settings):
    """Returns (the backbone's weights, the keys') of a model that has begun with `start`."""
    made = config(channels, **settings)
    make = make or backbone_maker(made.encoder, size, channels)
    model = make_model(replicas(1), backbone=make, image_size=size, channels=channels)
    start_from(model, made, start)
    return [[w.numpy() for w in e.backbone.weights] for e in (model.query_encoder, model.key_encoder)]


def assert_begun(found, expected):
    for weights in found:
        for mine, theirs in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_it_may_start_from_a_file_of_a_backbone(replicas, tmp_path):
    own = "tests.keras_models:sequential"
    model = keras_models.sequential()
    model.save(tmp_path / "own.keras")
    found = begun(replicas, str(tmp_path / "own.keras"), backbone=own)
    assert_begun(found, model.get_weights())


def test_it_may_start_from_a_preset_of_keras_hub(replicas, tmp_path):
    shape = (keras_models.SIDE, keras_models.SIDE, 3)
    model = keras_hub.models.ViTBackbone(image_shape=shape, **VIT)
    model.save_to_preset(tmp_path / "preset")
    arguments = str(VIT).replace("'", '"')
    vit = {"backbone": "keras_hub:ViTBackbone", "backbone_args": arguments}
    assert_begun(begun(replicas, str(tmp_path / "preset"), **vit), model.get_weights())
    wider = vit | {"backbone_args": arguments.replace('"hidden_dim": 8', '"hidden_dim": 16')}
    with pytest.raises(UserError, match="is of another architecture: .* the same --backbone_args"):
        begun(replicas, str(tmp_path / "preset"), **wider)


@pytest.mark.slow
def test_it_may_start_from_imagenets_weights(replicas, tmp_path, monkeypatch):
    small = {"alpha": 0.35, "include_top": False, "weights": None}
    model = keras.applications.MobileNetV2(**small)
    path = tmp_path / "mobilenet.weights.h5"
    model.save_weights(path)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(path))
    name = {"backbone": "keras.applications:MobileNetV2", "backbone_args": '{"alpha": 0.35}'}
    assert_begun(begun(replicas, "imagenet", size=32, **name), model.get_weights())


def assert_adapted(found, expected, channels):
    """Checks weights against RGB's, whose first kernel is theirs for images of other channels."""
    first = next(i for i, w in enumerate(expected) if w.ndim == 4)
    kernel = np.take(expected[first], np.arange(channels) % 3, 2) * np.float32(3 / channels)
    assert_begun(found, [*expected[:first], kernel, *expected[first + 1 :]])


def test_rgbs_weights_begin_a_run_of_other_channels(replicas, tmp_path, monkeypatch):
    own = make_model(replicas(2), backbone=maker(width=1 / 8, stem="cifar"))
    saved(own, tmp_path / "run")
    backbone = own.query_encoder.backbone
    plain_backbone(backbone).save(tmp_path / "own.keras")
    weights = [w.numpy() for w in backbone.weights]
    make = functools.partial(tiny.backbone, 1 / 8, "cifar", channels=4)
    for start in ("run", "own.keras"):
        assert_adapted(begun(replicas, str(tmp_path / start), make, channels=4), weights, 4)

    model = keras.applications.MobileNetV2(alpha=0.35, include_top=False, weights=None)
    model.save_weights(path := tmp_path / "mobilenet.weights.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(path))
    name = {"backbone": "keras.applications:MobileNetV2", "backbone_args": '{"alpha": 0.35}'}
    found = begun(replicas, "imagenet", size=32, channels=5, **name)
    assert_adapted(found, model.get_weights(), 5)


def test_from_other_channels_to_others_a_start_is_refused(replicas, tmp_path):
    make = {n: functools.partial(tiny.backbone, 1 / 8, channels=n) for n in (3, 4, 5)}
    saved(make_model(replicas(1), backbone=make[4], channels=4), tmp_path)
    for channels in (3, 5):
        with pytest.raises(UserError, match=f"ckpt-2: was .* of 4 channels; expected {channels}, or 3"):
            begun(replicas, str(tmp_path), make[channels], channels=channels)


def test_what_is_wrong_is_told_in_one_line(replicas, tmp_path):
    saved(make_model(replicas(1)), tmp_path / "run")
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "broken.keras").write_text("no model")
    keras_models.functional().save(tmp_path / "other.keras")
    own = {"backbone": "tests.keras_models:sequential"}
    resnet = {"make": maker(width=1 / 4, stem="cifar")}
    for start, settings, message in (
        ("empty", {}, "has no checkpoint yet"),
        ("nowhere", {}, "no such run or checkpoint; a ResNet of mocotf begins with a run"),
        ("run", resnet, r"query_encoder/bn1/beta is \[8\] there, \[16\] here; .* more"),
        ("broken.keras", own, "broken.keras: cannot be read: "),
        ("other.keras", own, "is of another architecture: .*expected the same backbone"),
        ("nowhere", own, "--backbone=tests.keras_models:sequential has no presets"),
        ("imagenet", own, "unexpected keyword argument 'weights'"),
    ):
        settings = {"make": maker(width=1 / 8, stem="cifar")} | settings
        if "backbone" in settings:
            settings.pop("make")
        with pytest.raises(UserError, match=message) as error:
            begun(replicas, start if start == "imagenet" else str(tmp_path / start), **settings)
        assert "\n" not in str(error.value)
