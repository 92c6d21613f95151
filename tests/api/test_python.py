"""`mocotf.pretrain` and the run that it returns, as a notebook uses them."""

import inspect
import os
import pathlib
import pydoc

import keras
import pytest

import mocotf
from mocotf.pretraining.settings import ALL
from mocotf.settings import settings_of
from tests import processes
from tests.commands import metrics
from tests.tiny import ARCH

TINY = {
    "recipe": "none", "arch": ARCH, "image_size": 16, "mlp": True, "moco_dim": 16, "moco_k": 48,
    "bn_splits": 2, "batch_size": 24, "log_every": 1, "knn_k": 5, "lr": 0.05, "cos": True,
    "strategy": "one_device",
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"moco_kk": 8}, "moco_kk: no such setting; did you mean moco_k"),
        ({"moco_k": "many"}, "moco_k='many': expected a whole number"),
        ({"steps": 2.5}, "steps=2.5: expected a whole number"),
        ({"recipe": "v3"}, "recipe=v3: expected auto, none, a file, or one of"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(settings, message, tmp_path):
    with pytest.raises(mocotf.UserError, match=message) as caught:
        mocotf.pretrain("photos", tmp_path, **settings)
    assert "\n" not in str(caught.value) and not os.listdir(tmp_path)


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
def main(_):
    mocotf.pretrain
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
