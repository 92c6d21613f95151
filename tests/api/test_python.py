"""`mocotf.pretrain` and the run that it returns, as a notebook uses them."""

import inspect
import os
import pathlib
import pydoc
import re
import sys

import keras
import pytest

import mocotf
from mocotf.api.asked import asked_for
from mocotf.api.recipe_files import read_recipe
from mocotf.pretraining.settings import ALL
from mocotf.settings import settings_of
from tests import processes
from tests.commands import metrics
from tests.tiny import ARCH

TINY = {
    "recipe": "none", "arch": ARCH, "image_size": 16, "mlp": True, "moco_dim": 16, "moco_k": 48,
    "bn_splits": 2, "batch_size": 24, "log_every": 1, "knn_k": 5, "lr": 0.05, "cos": True,
    "strategy": "one_device", "final_files": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """Returns a run of two steps on the pictures of the shared run."""
    out = tmp_path_factory.mktemp("python") / "run"
    return mocotf.pretrain(trained / "pictures", out, steps=2, **TINY)


def test_a_call_does_what_the_command_does(run, trained, tmp_path):
    flags = [f"--{name}={value}" for name, value in TINY.items()]
    where = [f"--data_dir={trained / 'pictures'}", f"--model_dir={tmp_path / 'run'}"]
    processes.succeed("train", "--dataset=folder", *where, "--steps=2", *flags)
    assert [r["loss"] for r in run.metrics[1:]] == [r["loss"] for r in metrics(tmp_path / "run")[1:]]
    assert (tmp_path / "run/flags.cfg").read_text() == pathlib.Path(run.path, "flags.cfg").read_text()


def test_the_same_call_again_resumes_and_another_is_refused(run, trained, capsys):
    pictures = trained / "pictures"
    again = mocotf.pretrain(pictures, run.path, steps=2, **TINY)
    assert "resuming" in capsys.readouterr().out and again.metrics == run.metrics
    with pytest.raises(mocotf.UserError, match="holds another run"):
        mocotf.pretrain(pictures, run.path, steps=2, **(TINY | {"lr": 0.1}))
    assert keras.config.dtype_policy().name == "float32"


def test_a_run_tells_what_it_has_learned_and_hands_its_encoder_on(run, trained, tmp_path):
    assert "kNN top-1" in run.verdict and run.verdict in repr(run)
    assert 0 <= run.knn(k=(5,))["knn_top1"] <= 100
    found = run.linear(cache_features=True)
    assert 0 <= found["linear_cached_top1"] <= 100
    names, vectors = run.embed(trained / "pictures" / "val")
    assert len(names) == 24 and vectors.shape == (24, run.encoder().output["features"].shape[1])
    assert os.path.getsize(run.report(tmp_path / "report.html")) > 10_000


@pytest.mark.slow
def test_a_run_is_exported_and_tuned(run, tmp_path):
    exported = run.export(tmp_path / "served")
    assert exported == str(tmp_path / "served" / "2") and os.path.exists(f"{exported}/saved_model.pb")
    tuned = run.finetune(tmp_path / "tuned", steps=1, batch_size=24, label_fraction=0.5)
    assert 0 <= tuned["finetune_top1"] <= 100


def test_a_recipe_s_switches_are_those_of_a_command_line(tmp_path):
    recipe = tmp_path / "mine.cfg"
    recipe.write_text("--nocos\n--symmetric\n--noticed\n")
    with pytest.raises(mocotf.UserError, match="noticed: no such setting"):
        asked_for(ALL, {}, recipe=read_recipe(str(recipe)))
    recipe.write_text("--nocos\n--symmetric\n")
    values = asked_for(ALL, {}, recipe=read_recipe(str(recipe)), defaults={"cos": True}).values
    assert (values["cos"], values["symmetric"]) == (False, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"moco_kk": 8}, "moco_kk: no such setting; did you mean moco_k"),
        ({"moco_k": "many"}, "moco_k='many': expected a whole number"),
        ({"steps": 2.5}, "steps=2.5: expected a whole number"),
        ({"recipe": "v3"}, "recipe=v3: expected auto, none, a file, or one of"),
        ({"model_dir": "runs/other"}, "model_dir: is no setting of this call; it is out"),
        ({"data_dir": "photos"}, "data_dir: is no setting of this call; it is data"),
        ({"recipe": "none"}, "photos: no such folder; expected a folder of images"),
        ({"out": 5}, "5: expected a path, a text"),
        ({"data": ["photos", None]}, "None: expected a path, a text"),
        ({"dataset": "hf", "recipe": "none"}, "datasets is not installed; try: pip install '.*hf]'"),
    ],
)
def test_what_cannot_be_is_one_line(settings, message, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # is not installed
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(mocotf.UserError, match=message) as caught:
        mocotf.pretrain(**{"data": "photos", "out": tmp_path} | settings)
    assert "\n" not in str(caught.value) and not os.listdir(tmp_path)
    assert caught.value._render_traceback_() == [f"UserError: {caught.value}"]  # of IPython


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.knn(kk=5), "kk: no such setting; did you mean k?"),
        (
            lambda run: run.knn(model_dir="other"),
            "model_dir: is no setting of this call; it is this run",
        ),
        (lambda run: run.linear(pretrained="other"), "pretrained: is no setting of this call"),
        (lambda run: run.finetune(label_fraction=3), "label_fraction=3: expected a finite number"),
        (lambda run: run.embed("nowhere"), "nowhere: no such folder"),
        (lambda run: run.embed(run.path, output="feature"), "output=feature: expected features or emb"),
        (lambda run: run.report("/nowhere/page.html"), "/nowhere/page.html: cannot be written"),
        (lambda run: run.export("served"), "tensorflow_serving is not installed; try: pip install"),
        (lambda run: mocotf.PretrainedRun(3), "3: expected a path"),
        (lambda run: mocotf.load_encoder("nowhere"), "nowhere: no flags.cfg; expected"),
    ],
)
def test_what_a_run_cannot_do_is_one_line(run, call, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with pytest.raises(mocotf.UserError, match=re.escape(message)) as caught:
        call(run)
    assert "\n" not in str(caught.value)


def test_there_is_no_run_where_there_is_none(tmp_path):
    with pytest.raises(mocotf.UserError, match="expected the run directory of a run"):
        mocotf.PretrainedRun(tmp_path)


def test_the_signature_has_every_setting():
    known = inspect.signature(mocotf.pretrain).parameters
    settings = {name: one.default for cls in ALL for name, one in settings_of(cls).items()}
    for name in settings.keys() - {"data_dir", "model_dir"}:
        assert known[name].default == settings[name], name


IN_ANOTHER_PROGRAM = """
from absl import app, flags
flags.DEFINE_string("data_dir", "mine", "Of this program.")
import mocotf
mocotf.MoCo
import tensorflow as tf
def main(_):
    mocotf.pretrain
    tf.constant(0)  # makes its devices
    assert flags.FLAGS.data_dir == "mine" and "moco_k" not in flags.FLAGS
    print("done")
app.run(main)
"""


def test_another_program_keeps_its_flags_and_sees_no_notices_of_tensorflow():
    done = processes.python("-c", IN_ANOTHER_PROGRAM).wait()
    assert done == (0, "done\n", "")


def test_help_is_a_page():
    page = pydoc.plain(pydoc.render_doc(mocotf))
    assert len(page.splitlines()) < 90 and "__getattr__" not in page
    assert all(name in page for name in mocotf.__all__)


def test_names_are_completed():
    assert {*mocotf.__all__} <= {*dir(mocotf)}
