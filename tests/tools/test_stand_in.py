"""The stand-in for TF Serving, and the programs in docs/guides/serving.md that ask it."""

import base64
import json
import os
import pathlib
import re
import runpy
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import processes
from tests.data.support import photograph
from tests.data.support import write_colours
from tools import stand_in


@pytest.fixture
def files(tmp_path):
    """Returns paths of a photograph, of a text that is called an image, and of a small image."""
    photo, text, small = (tmp_path / name for name in ("photo.jpg", "text.jpg", "small.png"))
    Image.fromarray(photograph("coffee.png", 60, 90)).save(photo)
    text.write_text("hello")
    Image.fromarray(photograph("rocket.jpg", 9, 16)).save(small)
    return [str(path) for path in (photo, text, small)]


def written(word):
    """Returns the program in docs/guides/serving.md that has a word in it."""
    text = pathlib.Path(processes.ROOT, "docs/guides/serving.md").read_text(encoding="utf-8")
    (found,) = (p for p in re.findall(r"```python\n(.*?)```", text, re.S) if word in p)
    return found


def assert_printed(lines, model, files):
    """Checks the lines against the files: two images, whose first numbers are shown, about a text."""
    assert lines.pop(1) == f"{files[1]} is no image" and len(lines) == 2
    for line, path in zip(lines, (files[0], files[2]), strict=True):
        assert line.startswith(path)
        found = re.sub(r"[\[\],]", " ", line.removeprefix(path)).split()
        image = pathlib.Path(path).read_bytes()
        values = model.predict("serving_default", [image])["embedding"][0, :4]
        np.testing.assert_allclose(np.array(found, float), values, atol=1e-5)


def test_the_client_of_the_documentation_takes_twenty_lines_and_works(tmp_path, rest_url, model, files):
    program = written("urllib")
    assert len([line for line in program.splitlines() if line]) <= 20
    (tmp_path / "client.py").write_text(program)
    done = processes.python(tmp_path / "client.py", rest_url, *files).wait()
    assert done.code == 0, done.err
    assert_printed(done.out.splitlines(), model, files)


def test_so_does_the_one_over_grpc(tmp_path, model, files, monkeypatch, capsys):
    (tmp_path / "client.py").write_text(written("grpc"))
    server, port = stand_in.serve_grpc(model, "small", "127.0.0.1", 0)
    monkeypatch.setattr(sys, "argv", ["client.py", f"127.0.0.1:{port}", "small", *files])
    runpy.run_path(str(tmp_path / "client.py"))
    server.stop(grace=None)
    assert_printed(capsys.readouterr().out.replace("\n ", " ").splitlines(), model, files)


def test_and_the_one_that_trains(tmp_path, served, monkeypatch):
    for label in ("cats", "dogs"):
        write_colours(str(tmp_path / "my_photos" / label), 3, suffixes=("png",))
    monkeypatch.chdir(tmp_path)
    program = written("TFSMLayer")
    assert '"serving/moco/20000"' in program and "(224, 224)" in program
    program = program.replace("serving/moco/20000", os.path.join(served, "2"))
    space = {}
    exec(program.replace("(224, 224)", "(16, 16)"), space)
    assert np.isfinite(space["model"].history.history["loss"]).all()


def ask(url, body=None):
    """Returns the status and the JSON object of an answer to a body, JSON or bytes."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(url, body) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_it_answers_as_the_server_does(rest_url, model, files):
    code, status = ask(rest_url)
    assert (code, status["model_version_status"][0]["version"]) == (200, "2")
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    image = {"b64": base64.b64encode(pathlib.Path(files[0]).read_bytes()).decode()}
    code, rows = ask(f"{rest_url}:predict", {"instances": [image]})
    assert code == 200 and rows["predictions"][0].keys() == {"embedding", "features", "valid"}
    code, named = ask(f"{rest_url}/versions/2:predict", {"instances": [{"image_bytes": image}]})
    assert code == 200 and named == rows
    code, columns = ask(f"{rest_url}:predict", {"inputs": {"image_bytes": [image]}})
    assert code == 200 and columns["outputs"]["embedding"] == [rows["predictions"][0]["embedding"]]
    pixels = np.zeros((1, 16, 16, 3), int).tolist()
    code, tensor = ask(f"{rest_url}:predict", {"signature_name": "serving_tensor", "instances": pixels})
    assert code == 200 and tensor["predictions"][0]["valid"] is True


def test_what_it_cannot_answer_is_an_error_in_json(rest_url):
    for place, body, code in (
        ("x:predict", {"instances": ["x"]}, 404),
        ("/versions/3:predict", {"instances": ["x"]}, 404),
        (":predict", {"nothing": 1}, 400),
        (":predict", {"instances": [{"b64": "?"}]}, 400),
        (":predict", {"instances": [1], "signature_name": "nowhere"}, 400),
        (":predict", {"instances": [[[1]]], "signature_name": "serving_tensor"}, 400),
    ):
        found, answer = ask(rest_url + place, body)
        assert found == code and answer["error"], (place, body)


DEEP = 100_000
TENSOR = b'{"signature_name": "serving_tensor", "instances": %s}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * DEEP,
        b'{"instances": %s1%s}' % (b"[" * DEEP, b"]" * DEEP),
        b'{"instances": %s1%s}' % (b"[" * 900, b"]" * 900),  # less than Python's limit
        b'{"instances": [%s1%s]}' % (b'{"image_bytes": ' * DEEP, b"}" * DEEP),
        b'{"instances": ["\xff"]}',
        '{"instances": ["a"]}'.encode("utf-16")[:-1],
        b'{"instances": ["\\ud800"]}',
        b'{"instances": [{"b64": "\\ud800"}]}',
        b'{"instances": [{"b64": "YQ=="}], "instances": [{"b64": "YQ=="}]}',
        b'{"instances": {}}',
        b'{"instances": null}',
        b'{"instances": [[{"b64": "YQ=="}], []]}',
        b'{"instances": [{"other": 1}]}',
        b'{"instances": [1], "signature_name": ["serving_default"]}',
        b"[]",
        b"null",
        b'"instances"',
        TENSOR % b"[]",
        TENSOR % b"[[[[1, 2]]]]",
        TENSOR % b"[[[[1, 2, 3]], [[1, 2]]]]",
        TENSOR % b"[[[[1, 2, 1e999]]]]",
        TENSOR % b"[[[[1, 2, NaN]]]]",
        TENSOR % b"[[[[1, 2, -1]]]]",
        TENSOR % (b"[[[[1, 2, %s]]]]" % (b"9" * 30)),
        TENSOR % (b"[[[[1, 2, %s]]]]" % (b"9" * 5000)),
        TENSOR % b'[[[["1", "2", "x"]]]]',
    ],
    ids=lambda body: ascii(body[:60]),
)
def test_no_body_is_its_fault(rest_url, body):
    code, answer = ask(f"{rest_url}:predict", body)
    assert code == 400 and answer["error"] and "\n" not in answer["error"]


def test_grpc_says_what_is_not_there(model):
    import grpc
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    server, port = stand_in.serve_grpc(model, "small", "127.0.0.1", 0)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for name, signature, code in (
            ("large", "serving_default", grpc.StatusCode.NOT_FOUND),
            ("small", "nowhere", grpc.StatusCode.INVALID_ARGUMENT),
        ):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([b"x"]))
            with pytest.raises(grpc.RpcError) as error:
                stub.Predict(request, timeout=10)
            assert error.value.code() == code
    server.stop(grace=None)
