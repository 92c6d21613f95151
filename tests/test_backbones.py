"""Backbones that are anyone's Keras models, through the commands that a user types."""

import shutil

import pytest
import tensorflow as tf

from tests import processes
from tests.commands import forget
from tests.saved_run import write_run
from tools.differences import compare

OPTIONS = [
    "--flagfile=flags/demo.cfg", "--dataset=folder", "--image_size=16", "--batch_size=16",
    "--bn_splits=2", "--moco_k=40", "--knn_every=0", "--log_every=1", "--lr=0.01",
    "--steps=4", "--checkpoint_every=2", "--nofinal_files",
]  # fmt: skip
KINDS = ["with_dropout"]
KINDS += [pytest.param(kind, marks=pytest.mark.slow) for kind in ("subclassed", "functional")]
WITH = "--backbone=tests.keras_models:"


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def run(kind, trained, tmp_path_factory):
    """Returns a run of four steps of a backbone, on the pictures of `trained`."""
    folder = tmp_path_factory.mktemp(kind) / "run"
    where = f"--data_dir={trained / 'pictures'}", f"--model_dir={folder}"
    done = processes.succeed("train", *OPTIONS, WITH + kind, *where)
    assert "step 4/4" in done.out
    return folder


@pytest.mark.slow
def test_a_run_goes_on_from_an_earlier_checkpoint_bit_for_bit(run, tmp_path):
    resumed = shutil.copytree(run, tmp_path / "resumed")
    done = processes.succeed("train", f"--model_dir={forget(resumed, 4)}")
    assert "at step 2 of 4" in done.out
    assert compare(run, resumed, 4) == []


@pytest.mark.slow
def test_what_it_learned_is_measured(run, tmp_path):
    found = processes.succeed("knn", f"--model_dir={run}", "--k=5", "--json").json
    assert (found["step"], found["width"], found["queries"]) == (4, 8, 24)
    at = f"--pretrained={run}", f"--model_dir={tmp_path / 'linear'}"
    found = processes.succeed("linear", *at, "--batch_size=16", "--steps=2", "--json").json
    assert 0 <= found["linear_top1"] <= 100


@pytest.mark.slow
def test_what_is_exported_answers_the_same_on_images_of_the_sizes_it_takes(run, kind, tmp_path):
    done = processes.succeed("export", f"--model_dir={run}", f"--export_dir={tmp_path}", "--json")
    assert done.json["feature_dim"] == 8 and max(done.json["largest_difference"].values()) < 1e-6
    (features,) = tf.saved_model.load(done.json["path"]).features.concrete_functions
    (images,), _ = features.structured_input_signature
    side = 16 if kind == "with_dropout" else None
    assert images.shape.as_list() == [None, side, side, 3]


@pytest.mark.slow
def test_a_keras_file_computes_the_same_where_keras_can_read_it_back(run, kind, tmp_path):
    arguments = "--to=keras", run, tmp_path / "encoder.keras"
    if kind == "subclassed":
        message = "Keras cannot read it back, which has Subclassed; expected classes with"
        processes.refuse("convert", arguments, message)
    else:
        assert processes.succeed("convert", *arguments, "--json").json["max_difference"] < 1e-6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--backbone=nowhere:it"],
            "--backbone=nowhere:it: No module named 'nowhere'; expected MODULE:",
        ),
        ([f"{WITH}no_such"], "has no attribute 'no_such'; expected MODULE:NAME, such as keras.app"),
        ([f"{WITH}functional", "--remat"], f"{WITH}functional: --remat needs a ResNet: resnet10,"),
        (
            [f"{WITH}with_dropout"],
            "takes images of 16x16, views are of 32x32; make it for input_shape=",
        ),
        ([f"{WITH}functional", "--backbone_args=alpha: 1"], "--backbone_args=alpha: 1: is no JSON: "),
        ([f"{WITH}functional", '--backbone_args={"alpha": 1}'], "unexpected keyword argument 'alpha'"),
    ],
)
def test_what_cannot_be_a_backbone_is_told_in_one_line(flags, message, tmp_path):
    more = "--flagfile=flags/demo.cfg", f"--model_dir={tmp_path / 'run'}"
    processes.refuse("train", [*more, *flags], message)
    assert not (tmp_path / "run").exists()


def test_a_module_that_is_gone_is_told_in_one_line(tmp_path, monkeypatch):
    module = tmp_path / "mine.py"
    module.write_text("from tests.keras_models import functional as make\n")
    monkeypatch.syspath_prepend(tmp_path)
    write_run(tmp_path / "run", backbone="mine:make")
    module.unlink()
    for command in ("train", "knn"):
        message = "--backbone=mine:make: No module named 'mine'; expected MODULE:NAME, such as"
        processes.refuse(command, [f"--model_dir={tmp_path / 'run'}"], message)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_all_backbones_train_resume_and_are_handed_on(tmp_path):
    flags = f"--results={tmp_path / 'results.json'}", "--json"
    done = processes.start("tools/backbones.py", *flags).wait(seconds=7200)
    assert done.code == 0 and done.json["failed"] == [], done
    found = done.json["backbones"]
    assert len(found) >= 12
    for name, result in found.items():
        assert result["parameters"] > 0 and result["step_seconds"] > 0, name
        assert result["differs_after_resume"] == [], name
        assert result["exported_differs_by"] <= 1e-4, name
        assert (result["keras_file_differs_by"] is None) == (name == "subclassed"), name
