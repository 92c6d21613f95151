"""The encoder in formats that need no mocotf: Keras, ONNX, LiteRT."""

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

import mocotf
from mocotf.errors import UserError
from mocotf.interop import keras_file
from mocotf.interop import litert
from mocotf.interop import onnx
from mocotf.moco.saved_run import open_run
from mocotf.nn.encoder import build_encoder
from tests import keras_models
from tests import processes
from tests.interop import support
from tests.saved_run import FLAGS
from tests.saved_run import write_run

LOAD = """
import sys, keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
found = model.predict(np.load(sys.argv[2]), verbose=0)
assert not any(name.startswith("mocotf") for name in sys.modules)
np.savez(sys.argv[3], **found)
"""

OF_5_CHANNELS = {"channels": "5", "mean": "900,800,700,600,10", "std": "90,80,70,60,2"}

run = support.fixture_of_run(**FLAGS)  # its encoder is made quickly
resnet_run = support.fixture_of_run()


def assert_near(found, features, embedding, most):
    assert support.relative(found["features"], features) < most
    assert support.relative(found["embedding"], embedding) < most


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"stem": "cifar", "mlp": "false"},
        {"mechanism": "simsiam", "predictor_dim": "8"},
        pytest.param({"arch": "resnet50"}, marks=pytest.mark.slow),
    ],
)
def test_load_encoder_computes_what_the_encoder_of_the_run_does(tmp_path, flags):
    run = support.make_run(tmp_path / "run", **flags)
    images, features, embedding = support.reference(run)
    model = mocotf.load_encoder(run)
    assert model.input_shape == (None, 64, 64, 3)
    for given in (images, images.astype(np.uint8)):
        assert_near(found := model(given), features, embedding, 1e-5)
    np.testing.assert_allclose(np.linalg.norm(found["embedding"], axis=1), 1, atol=1e-5)
    layers = [layer for part in ("backbone", "head") for layer in model.get_layer(part).layers]
    assert all(type(layer).__module__.startswith("keras.") for layer in layers)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize(
    ("write", "ending"), [(keras_file.write, "keras"), (onnx.write, "onnx"), (litert.write, "tflite")]
)
def test_any_keras_model_is_handed_on_with_its_pooling_and_its_preprocessing(tmp_path, write, ending):
    backbone, arguments = "tests.keras_models:with_stages", '{"pixels": true}'
    write_run(tmp_path / "run", backbone=backbone, backbone_args=arguments, image_size="32")
    out = str(tmp_path / f"e.{ending}")
    assert write(open_run(str(tmp_path / "run")), out)["max_difference"] < 1e-4


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_a_run_of_other_channels_is_handed_on_in_the_units_of_its_files(tmp_path):
    write_run(tmp_path / "run", **OF_5_CHANNELS)
    run, saved = str(tmp_path / "run"), open_run(str(tmp_path / "run"))
    images, *expected = support.reference(run)
    assert_near(mocotf.load_encoder(run)(images), *expected, 1e-5)
    paths = [str(tmp_path / name) for name in ("e.keras", "e.onnx", "e.tflite")]
    for module, path in zip((keras_file, onnx, litert), paths, strict=True):
        assert module.write(saved, path)["max_difference"] < 1e-4
    given = {"image": images}
    session = onnxruntime.InferenceSession(paths[1], providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    runner = tf.lite.Interpreter(paths[2]).get_signature_runner()
    assert_near(mocotf.load_encoder(paths[0])(images), *expected, 1e-5)
    assert_near(dict(zip(names, session.run(names, given), strict=True)), *expected, 1e-4)
    assert_near(runner(**given), *expected, 1e-4)


def with_gelu():
    layers = [keras.layers.Conv2D(4, 3, 4), keras.layers.Activation("gelu")]
    return keras.Sequential([keras.Input((None, None, 3)), *layers, keras.layers.GlobalMaxPooling2D()])


def test_what_onnx_has_no_operator_for_is_told_in_one_line(tmp_path):
    write_run(tmp_path / "run", backbone=f"{__name__}:with_gelu")
    with pytest.raises(UserError, match="onnxruntime cannot read it .*Erfc.*--to=litert") as e:
        onnx.write(open_run(str(tmp_path / "run")), str(tmp_path / "e.onnx"))
    assert "\n" not in str(e.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("make", ["sequential", "subclassed"])
def test_load_encoder_takes_any_backbone(tmp_path, make):
    write_run(tmp_path, backbone=f"tests.keras_models:{make}")
    images, features, embedding = support.reference(str(tmp_path))
    assert_near(mocotf.load_encoder(tmp_path)(images), features, embedding, 1e-5)


@keras.saving.register_keras_serializable("tests")
class Registered(keras_models.Subclassed):
    @classmethod
    def from_config(cls, config):
        return cls()


def test_a_class_of_ones_own_is_in_a_keras_file_if_it_is_registered(tmp_path):
    write_run(tmp_path / "run", backbone=f"{__name__}:Registered")
    saved = open_run(str(tmp_path / "run"))
    assert keras_file.write(saved, str(tmp_path / "e.keras"))["max_difference"] < 1e-5
    write_run(tmp_path / "other", backbone="tests.keras_models:subclassed")
    saved = open_run(str(tmp_path / "other"))
    with pytest.raises(UserError, match="not written: .* which has Subclassed; expected") as caught:
        keras_file.write(saved, str(tmp_path / "f.keras"))
    assert "\n" not in str(caught.value) and not (tmp_path / "f.keras").exists()


def test_a_keras_file_is_read_by_a_process_without_mocotf(run, tmp_path):
    path, images, found = (str(tmp_path / name) for name in ("e.keras", "x.npy", "y.npz"))
    assert keras_file.write(open_run(run), path)["max_difference"] < 1e-5
    given, features, embedding = support.reference(run)
    np.save(images, given)
    command = ["-P", "-c", LOAD, path, images, found]
    done = processes.python(*command, cwd=tmp_path, env={"PYTHONPATH": ""}).wait()
    assert done.code == 0, done.err
    with np.load(found) as there:
        assert_near(there, features, embedding, 1e-5)
    again = mocotf.load_encoder(path)
    for mine, theirs in zip(mocotf.load_encoder(run).weights, again.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)


def test_a_loaded_encoder_can_be_trained_on(run):
    model = mocotf.load_encoder(run)
    classifier = keras.Model(model.input, keras.layers.Dense(2)(model.output["features"]))
    classifier.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    weights = model.get_layer("backbone").trainable_weights
    before = [w.numpy() for w in weights]
    classifier.fit(support.reference(run, 4)[0], np.array([0, 1, 0, 1]), verbose=0)
    assert not any(np.array_equal(a, b.numpy()) for a, b in zip(before, weights, strict=True))


def test_onnx_runs_in_onnxruntime(resnet_run, tmp_path):
    path = str(tmp_path / "encoder.onnx")
    assert onnx.write(open_run(resnet_run), path)["max_difference"] < 1e-3
    images, *expected = support.reference(resnet_run)
    session, names = onnxruntime.InferenceSession(path), ["features", "embedding"]
    found = dict(zip(names, session.run(names, {"image": images}), strict=True))
    assert_near(found, *expected, 1e-3)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_litert_runs_in_its_interpreter(run, tmp_path):
    path = str(tmp_path / "encoder.tflite")
    assert litert.write(open_run(run), path)["max_difference"] < 1e-3
    images, *expected = support.reference(run)
    assert_near(tf.lite.Interpreter(path).get_signature_runner()(image=images), *expected, 1e-3)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_what_was_trained_in_low_precision_is_handed_on_in_float32(tmp_path, precision):
    write_run(tmp_path, precision=precision)
    model = mocotf.load_encoder(str(tmp_path))
    assert {w.dtype for w in model.weights} == {"float32"}
    assert model.compute_dtype == "float32" and keras.config.dtype_policy().name == "float32"
    images, features, _ = support.reference(str(tmp_path))
    assert support.relative(model(images)["features"], features) < 1e-5


def test_our_own_layers_survive_saving_once_mocotf_is_imported(resnet_run, tmp_path):
    config = open_run(resnet_run).config
    encoder = build_encoder(config.make_backbone, remat=True, **config.encoder_options)
    encoder.save(tmp_path / "own.keras")
    back = keras.saving.load_model(tmp_path / "own.keras")
    assert type(back) is type(encoder) and back.remat
    assert back.backbone.get_layer("bn1").groups == 2
    images = support.reference(resnet_run)[0]
    np.testing.assert_array_equal(back(images).numpy(), encoder(images).numpy())


def test_what_is_no_encoder_is_told_in_one_line(tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 no archive")
    inputs = keras.Input((2,))
    layers = {"other": keras.layers.Dense(2), "code": keras.layers.Lambda(lambda x: x + 1)}
    for name, layer in layers.items():
        keras.Model(inputs, layer(inputs)).save(tmp_path / f"{name}.keras")
    write_run(tmp_path / "run")
    (data,) = (tmp_path / "run" / "checkpoints").glob("ckpt-2.data-*")
    damaged = np.frombuffer(data.read_bytes(), np.uint8).copy()
    damaged[::7] ^= 255
    data.write_bytes(damaged)
    for name, message in (
        ("absent.keras", "cannot be read"),
        ("broken.keras", "cannot be read"),
        ("other.keras", "holds another model"),
        ("code.keras", "cannot be read: .*lambda"),
        ("run", "expected a run directory, or a checkpoint in one"),
    ):
        with pytest.raises(UserError, match=message) as error:
            mocotf.load_encoder(tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_file_that_computes_something_else_is_not_put_in_place(run, tmp_path, monkeypatch):
    saved, wrong = open_run(run), mocotf.load_encoder(run)
    for weight in wrong.get_layer("backbone").trainable_weights:
        weight.assign(weight * 1.1)
    monkeypatch.setattr(keras_file, "from_run", lambda _: wrong)
    with pytest.raises(UserError, match="not written: what it computes differs"):
        keras_file.write(saved, str(tmp_path / "wrong.keras"))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_in_one_line(run, tmp_path):
    with pytest.raises(UserError, match="is no folder that can be written"):
        keras_file.write(open_run(run), str(tmp_path / "nowhere" / "e.keras"))
