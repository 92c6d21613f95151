"""The encoder in formats that need no mocotf: Keras, ONNX, LiteRT."""

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

import mocotf
from mocotf.errors import UserError
from mocotf.interop import litert
from mocotf.interop import onnx
from mocotf.interop import portable
from mocotf.training.saved import open_run
from tests import processes
from tests.interop.support import make_run
from tests.interop.support import reference
from tests.interop.support import relative
from tests.saved_run import write_run

LOAD = """
import sys, keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
found = model.predict(np.load(sys.argv[2]), verbose=0)
assert not any(name.startswith("mocotf") for name in sys.modules)
np.savez(sys.argv[3], **found)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns the path of a run whose encoder is made quickly."""
    folder = tmp_path_factory.mktemp("run") / "run"
    write_run(folder)
    return str(folder)


@pytest.fixture(scope="module")
def resnet_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "run")


@pytest.mark.parametrize(
    "flags",
    [{}, {"stem": "cifar", "mlp": "false"}, pytest.param({"arch": "resnet50"}, marks=pytest.mark.slow)],
)
def test_load_encoder_computes_what_the_encoder_of_the_run_does(tmp_path, flags):
    run = make_run(tmp_path / "run", **flags)
    images, features, embedding = reference(run)
    model = mocotf.load_encoder(run)
    assert model.input_shape == (None, 64, 64, 3)
    for given in (images, images.astype(np.uint8)):
        found = model(given)
        assert relative(found["features"], features) < 1e-5
        assert relative(found["embedding"], embedding) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(found["embedding"], axis=1), 1, atol=1e-5)
    layers = [layer for part in ("backbone", "head") for layer in model.get_layer(part).layers]
    assert all(type(layer).__module__.startswith("keras.") for layer in layers)


def test_a_keras_file_is_read_by_a_process_without_mocotf(run, tmp_path):
    path, images, found = (str(tmp_path / name) for name in ("e.keras", "x.npy", "y.npz"))
    assert portable.write(open_run(run), path)["max_difference"] < 1e-5
    given, features, embedding = reference(run)
    np.save(images, given)
    command = ["-P", "-c", LOAD, path, images, found]
    done = processes.python(*command, cwd=tmp_path, env={"PYTHONPATH": ""}).wait()
    assert done.code == 0, done.err
    with np.load(found) as there:
        assert relative(there["features"], features) < 1e-5
        assert relative(there["embedding"], embedding) < 1e-5
    again = mocotf.load_encoder(path)
    for mine, theirs in zip(mocotf.load_encoder(run).weights, again.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)


def test_a_loaded_encoder_can_be_trained_on(run):
    model = mocotf.load_encoder(run)
    classes = keras.layers.Dense(2)(model.output["features"])
    classifier = keras.Model(model.input, classes)
    classifier.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, *_ = reference(run, 4)
    before = [w.numpy() for w in model.get_layer("backbone").trainable_weights]
    classifier.fit(images, np.array([0, 1, 0, 1]), verbose=0)
    after = [w.numpy() for w in model.get_layer("backbone").trainable_weights]
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_onnx_runs_in_onnxruntime(resnet_run, tmp_path):
    path = str(tmp_path / "encoder.onnx")
    assert onnx.write(open_run(resnet_run), path)["max_difference"] < 1e-3
    images, features, embedding = reference(resnet_run)
    session = onnxruntime.InferenceSession(path)
    found = session.run(["features", "embedding"], {"image": images})
    assert relative(found[0], features) < 1e-3 and relative(found[1], embedding) < 1e-3


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_litert_runs_in_its_interpreter(run, tmp_path):
    path = str(tmp_path / "encoder.tflite")
    assert litert.write(open_run(run), path)["max_difference"] < 1e-3
    images, features, embedding = reference(run)
    found = tf.lite.Interpreter(path).get_signature_runner()(image=images)
    assert relative(found["features"], features) < 1e-3
    assert relative(found["embedding"], embedding) < 1e-3


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_what_was_trained_in_low_precision_is_handed_on_in_float32(tmp_path, precision):
    run = str(tmp_path)
    write_run(tmp_path, precision=precision)
    model = mocotf.load_encoder(run)
    assert {w.dtype for w in model.weights} == {"float32"}
    assert model.compute_dtype == "float32" and keras.config.dtype_policy().name == "float32"
    images, features, _ = reference(run)
    assert relative(model(images)["features"], features) < 1e-5


def test_our_own_layers_survive_saving_once_mocotf_is_imported(resnet_run, tmp_path):
    encoder = open_run(resnet_run).config.build_encoder("query_encoder", remat=True)
    path = str(tmp_path / "own.keras")
    encoder.save(path)
    back = keras.saving.load_model(path)
    assert type(back) is type(encoder) and back.remat
    assert back.backbone.get_layer("bn1").groups == 2
    images, *_ = reference(resnet_run)
    np.testing.assert_array_equal(back(images).numpy(), encoder(images).numpy())


def broken_file(tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 no archive")
    return "broken.keras", "cannot be read"


def other_model(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    return "other.keras", "holds another model"


def code(tmp_path):
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs)).save(tmp_path / "code.keras")
    return "code.keras", "cannot be read: .*lambda"


def damaged_run(tmp_path):
    write_run(tmp_path / "run")
    (data,) = (tmp_path / "run" / "checkpoints").glob("ckpt-2.data-*")
    content = bytearray(data.read_bytes())
    for i in range(0, len(content), 7):
        content[i] ^= 255
    data.write_bytes(content)
    return "run", "expected a run directory, or a checkpoint in one"


@pytest.mark.parametrize(
    "make", [broken_file, other_model, code, damaged_run, lambda _: ("absent.keras", "cannot be read")]
)
def test_what_is_no_encoder_is_told_in_one_line(tmp_path, make):
    name, message = make(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        mocotf.load_encoder(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_file_that_computes_something_else_is_not_put_in_place(run, tmp_path, monkeypatch):
    saved = open_run(run)
    wrong = mocotf.load_encoder(run)
    for weight in wrong.get_layer("backbone").trainable_weights:
        weight.assign(weight * 1.1)
    monkeypatch.setattr(portable, "from_run", lambda _: wrong)
    with pytest.raises(UserError, match="not written: what it computes differs"):
        portable.write(saved, str(tmp_path / "wrong.keras"))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_in_one_line(run, tmp_path):
    with pytest.raises(UserError, match="is no folder that can be written"):
        portable.write(open_run(run), str(tmp_path / "nowhere" / "e.keras"))
