"""A run opened for reading."""

import os

import keras
import numpy as np
import pytest

from mocotf.errors import UserError
from mocotf.moco.saved_run import open_run
from tests.saved_run import write_run


@pytest.fixture
def run(tmp_path):
    """Returns a run directory with checkpoints of steps 0 and 2, and the model of step 2."""
    return tmp_path, write_run(tmp_path)


def outputs(encoder):
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    return encoder(images).numpy()


def test_opens_the_newest_checkpoint_or_the_one_named(run):
    path, model = run
    newest, first = open_run(str(path)), open_run(str(path / "checkpoints" / "ckpt-0"))
    assert (newest.step, first.step) == (2, 0)
    assert newest.path == first.path == str(path)
    np.testing.assert_array_equal(outputs(newest.encoder()), outputs(model.query_encoder))
    assert not np.array_equal(outputs(first.encoder()), outputs(newest.encoder()))
    np.testing.assert_array_equal(outputs(first.encoder(trained=False)), outputs(first.encoder()))


def test_the_view_and_precision_are_the_runs_unless_said_otherwise(run):
    saved = open_run(str(run[0]))
    assert (saved.view.size, saved.view.mean, saved.view.std) == (16, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert saved.encoder(precision="mixed_bfloat16").backbone.compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "has no checkpoint yet"),
        ("checkpoints", "expected the --model_dir of a run"),
        ("checkpoints/ckpt-1", "no such checkpoint"),
        ("checkpoints/copy", "no such checkpoint; expected one, ckpt-STEP"),
        ("../no_run", "no flags.cfg; expected the --model_dir of a run"),
    ],
)
def test_what_is_no_run_is_told_in_one_line(run, tmp_path, path, message):
    if not path:
        for file in (tmp_path / "checkpoints").iterdir():
            file.unlink()
    else:
        (tmp_path / "checkpoints" / "copy.index").touch()
    with pytest.raises(UserError, match=message):
        open_run(os.path.normpath(tmp_path / path))


def test_a_run_in_the_place_of_the_one_that_it_began_with_is_told(run, tmp_path):
    flags = tmp_path / "flags.cfg"
    flags.write_text(f"--label_fraction=1\n--pretrained={tmp_path}\n")
    with pytest.raises(UserError, match="is where it is itself; expected the run that it began with"):
        open_run(str(tmp_path))


def test_a_run_of_another_command_is_told_in_one_line(run, tmp_path):
    (tmp_path / "flags.cfg").write_text("--arch=resnet10\n--lr=30\n")
    with pytest.raises(UserError, match="has no --width, so it is no run of mocotf.train"):
        open_run(str(tmp_path))
