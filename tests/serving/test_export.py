"""What a version consists of, and when there is one."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from mocotf.errors import UserError
from mocotf.moco.saved_run import open_run
from mocotf.serving import export as exporting
from mocotf.serving import warmup
from mocotf.serving.export import export
from mocotf.serving.requests import signatures_of
from mocotf.serving.versions import choose
from mocotf.serving.versions import new_version
from mocotf.serving.versions import versions_in
from tests import processes
from tests.saved_run import FLAGS

KILLED = """
import os, signal, sys
sys.path.insert(0, "")
from mocotf.serving import export as exporting, warmup
from mocotf.moco.saved_run import open_run
warmup.check = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
exporting.export(open_run(sys.argv[1]), sys.argv[2])
"""


def tree(folder):
    """Returns path → (time of change, content) of all files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def read(version, name):
    return pathlib.Path(version, name).read_text(encoding="utf-8")


def test_a_version_has_all_that_the_server_looks_for(version):
    assert sorted(os.listdir(os.path.dirname(version))) == ["2", "models.config"]
    assert set(os.listdir(version)) >= {
        "saved_model.pb", "variables", "assets.extra", "batching_params.pbtxt", "metadata.json"
    }  # fmt: skip
    config = model_server_config_pb2.ModelServerConfig()
    (model,) = text_format.Parse(read(version, "../models.config"), config).model_config_list.config
    assert (model.name, model.base_path) == ("small", "/models/small")


def test_batching_parameters_are_the_servers(version):
    lines = read(version, "batching_params.pbtxt").splitlines()
    found = [line.partition(" { value: ") for line in lines if not line.startswith("#")]
    assert {name for name, _, _ in found} == {
        "max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"
    }  # fmt: skip
    assert all(int(value.split()[0]) > 0 for _, _, value in found)


def test_metadata_says_what_it_was_made_of(run_dir, version):
    found = json.loads(read(version, "metadata.json"))
    assert found["flags"] == FLAGS | {"width": "1.0"}
    assert (found["version"], found["step"], found["model"]) == (2, 2, "small")
    assert (found["knn_top1"], found["knn_step"]) == (10.0, 1)  # measured last until the checkpoint
    assert (found["embedding_dim"], found["feature_dim"], found["image_size"]) == (16, 64, 16)
    assert found["checkpoint"] == os.path.join(run_dir, "checkpoints", "ckpt-2")
    assert 0 < max(found["largest_difference"].values()) <= 1e-5
    head = ["git", "-C", processes.ROOT, "rev-parse", "HEAD"]
    revision = subprocess.run(head, capture_output=True, text=True)
    if revision.returncode == 0:
        assert found["git_revision"].removesuffix("-dirty") == revision.stdout.strip()


def test_warm_up_requests_are_prediction_logs_of_every_signature(version):
    records = list(tf.data.TFRecordDataset(os.path.join(version, warmup.FILE)).as_numpy_iterator())
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    requests = [log.predict_log.request for log in logs]
    assert {request.model_spec.signature_name for request in requests} == set(signatures_of(None))
    assert {request.model_spec.name for request in requests} == {"small"}
    sizes = [tf.make_ndarray(next(iter(request.inputs.values()))).shape[0] for request in requests]
    assert max(sizes) == exporting.BATCH


def test_a_version_that_computes_something_else_is_not_published(tmp_path, run_dir, monkeypatch):
    real = exporting.saved_model.save

    def save(encoder, *more):
        real(encoder, *more)
        gamma = encoder.backbone.get_layer("bn1").gamma
        gamma.assign_add(gamma * 1e-3)

    monkeypatch.setattr(exporting.saved_model, "save", save)
    with pytest.raises(RuntimeError, match="computes something else"):
        export(open_run(run_dir), str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_in_bfloat16_it_stays_near(tmp_path, run_dir, version, images):
    found = export(open_run(run_dir), str(tmp_path), precision="mixed_bfloat16")
    assert found["precision"] == "mixed_bfloat16"
    outputs, exact = (
        tf.saved_model.load(path).signatures["serving_default"](tf.constant(images))
        for path in (str(tmp_path / "2"), version)
    )
    assert outputs["embedding"].dtype == outputs["features"].dtype == tf.float32
    assert b"CustomGradient" not in (tmp_path / "2" / "saved_model.pb").read_bytes()
    cosine = np.sum(outputs["embedding"].numpy() * exact["embedding"].numpy(), axis=1)
    assert cosine.min() > 0.99 and not np.array_equal(outputs["features"], exact["features"])


def test_the_server_may_take_small_images_only(tmp_path, run_dir):
    found = export(open_run(run_dir), str(tmp_path), max_pixels=10_000)
    assert found["max_pixels"] == 10_000 and found["warmup_requests"] == 4


def test_versions_that_are_there_stay_as_they_are(tmp_path, run_dir, monkeypatch):
    export(open_run(os.path.join(run_dir, "checkpoints", "ckpt-0")), str(tmp_path))
    before = tree(tmp_path)
    export(open_run(run_dir), str(tmp_path))
    assert versions_in(tmp_path) == [0, 2]
    with pytest.raises(UserError, match="version 2 exists.*try --version=3"):
        export(open_run(run_dir), str(tmp_path))
    monkeypatch.setattr(warmup, "write", mock.Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export(open_run(run_dir), str(tmp_path), version=7)
    after = tree(tmp_path)
    assert {path: after[path] for path in before} == before
    assert sorted(os.listdir(tmp_path)) == ["0", "2", "models.config"]


def test_a_killed_export_leaves_nothing_that_a_server_loads(tmp_path, run_dir):
    (tmp_path / "killed.py").write_text(KILLED)
    killed = processes.run(str(tmp_path / "killed.py"), run_dir, tmp_path / "served")
    assert killed.code == -signal.SIGKILL, killed
    tmp_path /= "served"
    assert os.path.exists(tmp_path / "2.partial" / "saved_model.pb")
    assert versions_in(tmp_path) == []
    export(open_run(run_dir), str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["2", "models.config"]


def test_the_number_is_the_step_unless_a_server_would_not_take_it_up(tmp_path):
    assert choose(str(tmp_path / "nowhere"), step=40) == 40
    (tmp_path / "50").mkdir()
    (tmp_path / "60.partial").mkdir()
    assert choose(str(tmp_path), step=60) == 60
    assert choose(str(tmp_path), step=40, version=45) == 45
    with pytest.raises(UserError, match="has version 50.*try --version=51"):
        choose(str(tmp_path), step=40)
    for step, version in ((50, None), (60, 50)):
        with pytest.raises(UserError, match="version 50 exists"):
            choose(str(tmp_path), step, version)


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path, run_dir, monkeypatch):
    (tmp_path / "file").write_text("")
    run = open_run(run_dir)
    message = "--export_dir=.*file/model: Not a directory; expected a folder"
    with pytest.raises(UserError, match=message):
        export(run, str(tmp_path / "file" / "model"))
    no_room = tf.errors.ResourceExhaustedError(None, None, "no space left\nmore")
    monkeypatch.setattr(tf.saved_model, "save", mock.Mock(side_effect=no_room))
    with pytest.raises(UserError, match="cannot be written: no space left; expected a place"):
        export(run, str(tmp_path / "model"))
    assert os.listdir(tmp_path / "model") == []


def half(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("flags.cfg", lambda text: text + b"--width=0.25\n", "is of another architecture"),
        ("checkpoints/ckpt-2.index", half, "expected a run directory"),
        ("checkpoints/ckpt-2.data-00000-of-00001", half, "expected a run directory"),
    ],
)
def test_a_checkpoint_that_does_not_fit_leaves_no_folder(tmp_path, run_dir, name, change, message):
    path = shutil.copytree(run_dir, tmp_path / "run") / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=message) as error:
        export(open_run(str(tmp_path / "run")), str(tmp_path / "served"))
    assert "\n" not in str(error.value) and not (tmp_path / "served").exists()


def test_one_export_at_a_time(tmp_path):
    with (
        new_version(str(tmp_path), 1),
        pytest.raises(UserError, match="another process exports to it"),
        new_version(str(tmp_path), 2),
    ):
        pass
    assert versions_in(tmp_path) == [1]
