"""Runs that change shape: other devices, other settings; `python -m mocotf.train` as it is typed."""

import shutil

import numpy as np
import pytest

from mocotf.training.checkpoints import steps_in
from mocotf.training.flags_file import read_flags
from mocotf.training.history import read_history
from tests import commands
from tests import processes

TWO = ["--strategy=mirrored", "--num_logical_devices=2"]
BEGUN = ["--steps=6", "--checkpoint_every=3", "--lr=.01"]


def losses(folder):
    return {record["step"]: record["loss"] for record in commands.metrics(folder)[1:]}


@pytest.fixture(scope="module")
def whole(once):
    """Returns a run on one device that was not stopped: two BN groups, checkpoints of steps 3 and 6."""
    return once("run-of-two-groups", lambda folder: commands.train(folder / "run", *BEGUN)) / "run"


@pytest.fixture
def stopped(whole, tmp_path):
    """Returns a copy of it that has come to step 3."""
    return commands.forget(shutil.copytree(whole, tmp_path / "run"), 6)


def test_the_same_command_on_other_devices_goes_on_and_back(whole, stopped):
    done = commands.train(stopped, *BEGUN, *TWO)
    assert "changed from step 3 on: --bn_splits=2 to 1, replicas=1 to 2\n" in done.out
    expected, found = losses(whole), losses(stopped)
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(found[4], expected[4], rtol=1e-6)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-4)
    flags = read_flags(stopped / "flags.cfg")
    assert (flags["bn_splits"], flags["num_logical_devices"]) == ("1", "2")
    assert commands.results(stopped, "facts.json")["replicas"] == 2

    commands.forget(stopped, 6)
    processes.succeed("train", f"--model_dir={stopped}", "--num_logical_devices=1")
    np.testing.assert_allclose(losses(stopped)[4], expected[4], rtol=1e-6)
    shapes = [change["changes"]["replicas"] for change in read_history(stopped / "flags.cfg")]
    assert shapes == [[1, 2], [2, 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--num_logical_devices=4"],
            "has 2 BN groups, --bn_splits=2 on each of 1 replicas; ",
        ),
        (["--steps=9"], "holds another run (--steps=6 there, 9 here); "),
        (["--moco_k=44", "--resume_with_changes"], "is of another model: queue/keys is [40, 64] there"),
        (
            ["--steps=3", "--resume_with_changes"],
            "is at step 6 and would end at step 3; expected a",
        ),
        (["--moco_k=44", "--resume_with_changes", "--on_collapse=retry"], "is of another model: queue"),
    ],
)
def test_what_cannot_be_leaves_the_run_as_it_was(whole, options, message):
    def content():
        return {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}

    before = content()
    processes.refuse("train", [f"--model_dir={whole}", *options], message)
    assert content() == before


def test_a_finished_run_is_made_longer_with_another_batch_and_rate(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    options = ["--steps=8", "--batch_size=32", "--lr=.02", "--resume_with_changes"]
    done = processes.succeed("train", f"--model_dir={run}", *options)
    words = "--batch_size=16 to 32, --lr=0.01 to 0.02, --steps=6 to 8"
    assert f"changed from step 6 on: {words}\n" in done.out and "at step 6 of 8" in done.out
    assert steps_in(run / "checkpoints")[-1] == 8
    records = commands.metrics(run)
    assert records[:7] == commands.metrics(whole) and [r["lr"] for r in records[7:]] == [0.02, 0.02]
    again = processes.succeed("train", f"--model_dir={run}", *options)  # as what restarts a job would
    assert "nothing is changed" in again.err and "at step 8 of 8" in again.out


@pytest.mark.slow
def test_a_run_grows_to_two_workers_and_back(whole, stopped):
    launch = ["tools/launch_local.py", "-n", 2, "--", *commands.SMALL, *BEGUN]
    done = processes.succeed(*launch, f"--model_dir={stopped}")
    assert "changed from step 3 on: --bn_splits=2 to 1, replicas=1 to 2\n" in done.out
    np.testing.assert_allclose(losses(stopped)[4], losses(whole)[4], rtol=1e-6)
    commands.train(commands.forget(stopped, 6), *BEGUN)
    np.testing.assert_allclose(losses(stopped)[4], losses(whole)[4], rtol=1e-6)
    launch[2] = 4
    done = processes.run(*launch, f"--model_dir={stopped}")
    assert done.code == 1 and "] error: 4 replicas: the run in --model_dir=" in done.out
    assert "has 2 BN groups, --bn_splits=2 on each of 1 replicas; expected 1, 2 replicas" in done.out
