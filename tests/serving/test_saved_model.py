"""An exported version, asked in the ways that servers and users ask it."""

import concurrent.futures
import json
import pathlib
import re
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mocotf.data.views.decode import decode
from mocotf.evaluation.head import Head
from mocotf.moco.saved_run import open_run
from mocotf.serving import saved_model
from mocotf.serving.session import SessionModel
from tests import processes
from tests.data.support import example

HERE = pathlib.Path(__file__).parent


def outside(folder, *command):
    """Runs Python where mocotf is not to be found; returns what it prints."""
    done = processes.python(*command, cwd=folder, env={"PYTHONPATH": ""}).wait()
    assert done.code == 0, done.err
    return done.out


def graph_of(version):
    return pathlib.Path(version, "saved_model.pb").read_bytes()


def assert_answers(outputs, expected, places):
    """Checks a signature's outputs against Python's: `places` in it, None for no image."""
    valid = np.array([place is not None for place in places], bool)
    np.testing.assert_array_equal(outputs["valid"], valid)
    places = [place for place in places if place is not None]
    for name, values in expected.items():
        found, values = np.asarray(outputs[name]), values[places]
        assert found.dtype == np.float32 and found[valid].shape == values.shape
        most = 1e-5 * np.abs(values).max(initial=0)
        np.testing.assert_allclose(found[valid], values, rtol=1e-5, atol=most)
        assert not found[~valid].any()
    np.testing.assert_allclose(np.linalg.norm(outputs["embedding"][valid], axis=1), 1, rtol=1e-5)


@pytest.fixture(scope="module")
def model(version):
    return SessionModel(version)


@pytest.mark.slow
def test_it_needs_no_mocotf_in_both_loaders(tmp_path, version, images, expected):
    every = list(range(len(images)))
    asked = {
        "serving_default": ([*every, None], np.array([*images, b"hello"], object)),
        "serving_tensor": ([0, 0], np.stack([decode(tf.constant(images[0]))] * 2)),
        "serving_example": (every, np.array([example(image__encoded=i) for i in images], object)),
    }
    np.savez(tmp_path / "requests.npz", **{name: request for name, (_, request) in asked.items()})
    outside(tmp_path, HERE / "elsewhere.py", version, "requests.npz", "answers.npz")
    answers = np.load(tmp_path / "answers.npz")
    for loader in ("eager", "session"):
        for signature, (places, _) in asked.items():
            start = f"{loader}/{signature}/"
            outputs = {n.removeprefix(start): v for n, v in answers.items() if n.startswith(start)}
            assert_answers(outputs, expected, places)


@pytest.mark.skipif(sys.platform != "linux", reason="calls the library of TensorFlow's Linux wheel")
def test_it_needs_no_python_where_it_is_served(tmp_path, version, images, expected):
    (graph,) = saved_model_pb2.SavedModel.FromString(graph_of(version)).meta_graphs
    signature = graph.signature_def["serving_default"]
    names = {n: info.name for n, info in [*signature.inputs.items(), *signature.outputs.items()]}
    places = [3, None, *range(len(images))]
    request = [b"hello" if place is None else images[place] for place in places]
    (tmp_path / "request").write_text("".join(f"{image.hex()}\n" for image in request))
    outside(tmp_path, HERE / "c_loader.py", version, json.dumps(names), "request", "answers")
    answers = json.loads((tmp_path / "answers").read_text())
    outputs = {"valid": answers["valid"], "embedding": np.array(answers["embedding"], np.float32)}
    assert_answers(outputs, {"embedding": expected["embedding"]}, places)


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_it(tmp_path, version, images, expected):
    places = [i for i, image in enumerate(images) if image[-1]]  # arrays of bytes drop zeros at the end
    np.save(tmp_path / "images.npy", np.array([images[place] for place in places]))
    cli = "-m", "tensorflow.python.tools.saved_model_cli"
    which = f"--dir={version}", "--tag_set=serve", "--signature_def=serving_default"
    shown = outside(tmp_path, *cli, "show", *which)
    for name, dtype, shape in (
        ("image_bytes", "DT_STRING", "(-1)"), ("embedding", "DT_FLOAT", "(-1, 16)"),
        ("features", "DT_FLOAT", "(-1, 64)"), ("valid", "DT_BOOL", "(-1)"),
    ):  # fmt: skip
        assert re.search(rf"\['{name}'\][^[]*{dtype}\s+shape: {re.escape(shape)}", shown), shown
    outside(tmp_path, *cli, "run", *which, "--inputs=image_bytes=images.npy", "--outdir=.")
    outputs = {name: np.load(tmp_path / f"{name}.npy") for name in (*expected, "valid")}
    assert_answers(outputs, expected, places)


def test_only_what_is_for_serving_is_a_signature(version):
    loaded = tf.saved_model.load(version)
    assert set(loaded.signatures) == {"serving_default", "serving_tensor", "serving_example"}
    asked = {name: s.structured_input_signature[1] for name, s in loaded.signatures.items()}
    assert [list(inputs) for inputs in asked.values()] == [["image_bytes"], ["image"], ["examples"]]
    assert asked["serving_tensor"]["image"].shape.as_list() == [None, None, None, 3]
    assert asked["serving_tensor"]["image"].dtype == tf.uint8


def test_a_classifier_has_a_signature_of_its_own(tmp_path, run_dir, images, expected):
    rng, run = np.random.default_rng(0), open_run(run_dir)
    kernel = rng.normal(size=(expected["features"].shape[1], 3)).astype(np.float32)
    head = Head(("cat", "dög", "owl"), kernel, np.array([0.5, -0.5, 0], np.float32))
    saved_model.save(run.encoder(precision="float32"), run.view, str(tmp_path / "1"), head)
    model = SessionModel(str(tmp_path / "1"))
    outputs = model.predict("classify", np.array([*images, b"no image"], object))
    probabilities = head.probabilities(expected["features"])
    np.testing.assert_allclose(outputs["probabilities"][:-1], probabilities, rtol=1e-4, atol=1e-6)
    labels = [head.names[c].encode() for c in probabilities.argmax(axis=1)]
    assert outputs["label"].tolist() == [*labels, b""] and not outputs["probabilities"][-1].any()
    assert outputs["valid"].tolist() == [True] * len(images) + [False]
    assert len(model.predict("classify", np.array([], object))["label"]) == 0
    model.close()


def test_concurrent_requests_each_get_their_own_answer(model, images, expected):
    def ask(seed):
        rng = np.random.default_rng(seed)
        places = rng.choice([None, *range(len(images))], size=1 + seed % 5)
        elements = [b"broken" if place is None else images[place] for place in places]
        return model.predict("serving_default", elements), places

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for outputs, places in pool.map(ask, range(100)):
            assert_answers(outputs, expected, places)


@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_any_number_of_images(model, images, expected, count):
    places = [i % len(images) for i in range(count)]
    outputs = model.predict("serving_default", np.array([images[place] for place in places], object))
    assert_answers(outputs, expected, places)


def test_batch_norm_is_folded_where_it_is_served_and_only_there(version):
    loaded = tf.saved_model.load(version)
    assert "FusedBatchNormV3" not in operations_of(loaded.signatures["serving_default"])
    for endpoint in (loaded.features, loaded.features_in_training):
        assert "FusedBatchNormV3" in operations_of(endpoint.concrete_functions[0])


def test_nothing_in_it_is_for_the_machine_that_made_it(version):
    written = graph_of(version)
    assert b"CustomGradient" not in written and b"_XlaMustCompile" not in written
    assert b"mocotf" not in written and b"/tmp/" not in written


def operations_of(function):
    """Returns the types of all operations of a function, in functions that it calls as well."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    return {node.op for node in nodes}
