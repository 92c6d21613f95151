"""Runs of every release are resumed: of each set of flags there has been, and one that was trained."""

import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocotf.cli import train_flags
from mocotf.data.sources.base import Order
from mocotf.data.sources.patches import Patches
from mocotf.data.views.tensorflow_ops import view_draws
from mocotf.errors import UserError
from mocotf.moco.saved_run import open_run
from mocotf.optim.schedules import Milestones
from mocotf.settings import settings_of
from mocotf.settings import texts_of
from mocotf.training.checkpoints import read
from mocotf.training.fit import fit
from mocotf.training.flags_file import read_flags
from mocotf.training.run_dir import RunDir
from mocotf.training.settings import PretrainingRunSettings
from mocotf.training.state import assign
from mocotf.training.state import state_of
from tests import processes
from tests.commands import set_flags

# A flags.cfg of each set of flags, by day and number; and a run of 2 steps with what 3 more compute.
RELEASES = pathlib.Path(processes.ROOT, "tests", "releases")
NEXT = np.load(RELEASES / "run" / "next_steps.npz")
STEPS = 3


@pytest.mark.parametrize("path", sorted(RELEASES.glob("*.cfg")), ids=lambda path: path.stem)
def test_a_run_of_every_set_of_flags_is_resumed(path, tmp_path):
    shutil.copy(path, tmp_path / "flags.cfg")
    set_flags(f"--model_dir={tmp_path}", resumes=True)
    settings = train_flags.read()
    assert RunDir(str(tmp_path), settings.saved).resuming
    there, here = read_flags(path), texts_of(settings.saved)
    declared = {name: one for part in settings.saved for name, one in settings_of(type(part)).items()}
    assert there.keys() <= declared.keys()
    assert here == {name: declared[name].saved(there.get(name)) for name in here}
    set_flags(f"--model_dir={tmp_path}", "--moco_m=.5", resumes=True)
    with pytest.raises(UserError, match=r"holds another run \(--moco_m=0.99 there, 0.5 here\)"):
        RunDir(str(tmp_path), train_flags.read().saved)


def test_a_stored_run_goes_on_as_it_would_have(tmp_path):
    run = open_run(str(RELEASES / "run"))
    batch_size, source = int(run.flags["batch_size"]), Patches()
    assert "order_rounds" not in run.flags
    rounds = settings_of(PretrainingRunSettings)["order_rounds"].of_run()
    steps_per_epoch = source.steps_per_epoch(batch_size)
    order = Order(int(run.flags["seed"]), batch_size, steps_per_epoch, rounds=rounds)
    drawn = np.array(list(source.draw(order, run.step).take(STEPS * batch_size).as_numpy_iterator()))
    np.testing.assert_array_equal(drawn.T, [NEXT["keys"], NEXT["handles"]])
    draws = [view_draws(order.seed, key) for key in NEXT["keys"][:batch_size]]
    np.testing.assert_array_equal(draws, NEXT["draws"])

    keras.config.set_dtype_policy("float64")
    model = run.config.build_model(Milestones(0.05, []))
    named, saved = state_of(model), read(run.checkpoint)
    assert named.keys() | {"skipped_batches"} == saved.keys()
    assign(named, saved)
    views = np.random.default_rng(0).normal(size=(STEPS, 2, batch_size, 16, 16, 3)).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices(tuple(views.swapaxes(0, 1)))
    course = {"steps_per_epoch": order.steps_per_epoch, "total_steps": run.step + STEPS}
    fit(model, lambda step: data.skip(step - run.step).repeat(), **course, callbacks=[])
    for name, variable in named.items():
        tolerance = 1e-6 if variable.dtype == "float32" else 1e-12
        expected = NEXT[f"after/{name}"]
        np.testing.assert_allclose(variable.numpy(), expected, tolerance, tolerance, err_msg=name)


def test_a_stored_run_is_exported(tmp_path):
    done = processes.succeed(
        "export", f"--model_dir={RELEASES / 'run'}", f"--export_dir={tmp_path / 'moco'}", "--json"
    )
    assert done.json["version"] == 2
