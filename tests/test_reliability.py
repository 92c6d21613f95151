"""Runs that are ended, diverge, or run out of disk: `python -m mocotf.train` as a user types it."""

import re
import signal

import numpy as np
import pytest
import tensorflow as tf

from mocotf import train
from mocotf.data import pretraining
from mocotf.pretraining import build
from mocotf.training.checkpoints import steps_in
from mocotf.training.trainer import Gauges
from tests import commands
from tests import processes
from tests.saved_run import write_run

FOREVER = [*commands.SMALL, "--steps=1000000", "--checkpoint_every=1000000"]


def until_sigterm(folder, first):
    """Runs `train` until it tells of a step, then asks it to end; returns the step that it saved."""
    process = processes.start("train", *FOREVER, f"--model_dir={folder}")
    process.wait_until(lambda: f"step {first}/" in process.out)
    process.send_signal(signal.SIGTERM)
    done = process.wait()
    assert done.code == 143, done.err
    assert first == 3 or f"at step {first - 3} of" in done.out
    return int(re.search(r"SIGTERM; saved at step (\d+); the same command resumes", done.out)[1])


def test_sigterm_saves_and_the_same_command_resumes_at_that_step(tmp_path):
    saved = until_sigterm(tmp_path, 3)
    assert steps_in(tmp_path / "checkpoints") == [saved]
    again = until_sigterm(tmp_path, saved + 3)
    assert [record["step"] for record in commands.metrics(tmp_path)] == list(range(again + 1))


def test_a_run_that_diverges_names_the_step_and_keeps_the_last_healthy_checkpoint(tmp_path):
    options = [*commands.SMALL, "--lr=1e30", "--steps=8", "--checkpoint_every=1", "--log_every=8"]
    done = processes.run("train", *options, f"--model_dir={tmp_path / 'stop'}")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    message = "step 2: loss or gradients .* the last healthy checkpoint is that of step 1"
    assert re.search(message, done.err)
    assert steps_in(tmp_path / "stop" / "checkpoints") == [1] and "nan" not in done.out
    assert all(np.all(np.isfinite(value)) for value in commands.variables(tmp_path / "stop").values())

    options += ["--on_nan=restore", "--max_skipped_batches=2"]
    done = processes.run("train", *options, f"--model_dir={tmp_path / 'restore'}")
    assert done.code == 1 and "(2 batches were left out before)" in done.err
    left_out = re.findall(r"back at step (\d), from where batch (\d) is left out", done.err)
    assert left_out == [("1", "1"), ("1", "2")]


def test_the_first_step_that_is_not_healthy_is_remembered():
    gauges = Gauges()
    for step, (loss, norm) in enumerate([(1.0, 1.0), (1.0, np.inf), (np.nan, 1.0), (1.0, 1.0)], 1):
        gauges.note_health(step, tf.constant(loss), tf.constant(norm))
    assert gauges.unhealthy_step.numpy() == 2


def test_on_nan_restore_goes_on_as_if_the_batch_were_not_there(tmp_path, monkeypatch):
    def train_on(folder, change, *arguments):
        def changed(*args, first_step, **kwargs):
            batches = pretraining.random_views(*args, first_step=0, **kwargs).enumerate()
            return change(batches).skip(first_step)

        monkeypatch.setattr(build, "random_views", changed)
        options = ["--strategy=one_device", "--steps=10", "--checkpoint_every=4", "--log_every=5"]
        commands.set_flags(*commands.SMALL, *options, f"--model_dir={folder}", *arguments)
        handler = signal.getsignal(signal.SIGTERM)
        train.main()
        signal.signal(signal.SIGTERM, handler)
        return commands.variables(folder)

    def spoiled(batches):
        nan = tf.constant(float("nan"))
        return batches.map(lambda i, views: tuple(x + tf.where(i == 6, nan, 0.0) for x in views))

    def without(batches):
        return batches.filter(lambda i, _: i != 6).map(lambda _, views: views)

    healed = train_on(tmp_path / "healed", spoiled, "--on_nan=restore")
    expected = train_on(tmp_path / "expected", without)
    assert list(healed.pop("skipped_batches")[:2]) == [6, -1]
    assert set(expected.pop("skipped_batches")) == {-1}
    commands.assert_same(expected, healed)
    one, other = (commands.metrics(tmp_path / run) for run in ("healed", "expected"))
    assert commands.comparable(one) == commands.comparable(other)


def test_init_from_starts_a_new_run_and_a_resume_does_not_start_anew(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    write_run(old)
    options = [f"--flagfile={old / 'flags.cfg'}", f"--init_from={old}", "--steps=2", "--lr=1e-9"]
    options.append("--knn_every=0")
    commands.train(new, *options)
    name = "query_encoder/conv1/kernel"
    np.testing.assert_allclose(commands.variables(new)[name], commands.variables(old)[name], atol=1e-6)
    assert commands.variables(new)["optimizer/iteration"] == 2
    assert "at step 2 of 2" in commands.train(new, *options).out
    done = processes.run("train", *options, "--width=.25", f"--model_dir={tmp_path / 'wide'}")
    assert done.code == 1
    assert "is of another architecture: query_encoder/bn1/beta is [8] there, [16] here" in done.err


@pytest.mark.slow
def test_checkpoints_by_epochs_and_the_best(tmp_path, trained):
    options = ["--dataset=folder", f"--data_dir={trained / 'pictures'}", "--batch_size=24", "--steps=6"]
    commands.train(tmp_path, *options, "--knn_every=1", "--checkpoint_epochs=1")
    assert steps_in(tmp_path / "checkpoints") == [3, 6]
    records = [r for r in commands.metrics(tmp_path)[1:] if "knn_top1" in r]
    best = max(records, key=lambda record: record["knn_top1"])  # the first of equals
    assert steps_in(tmp_path / "checkpoints" / "best") == [best["step"]]


@pytest.mark.slow
def test_checkpoints_by_minutes(tmp_path):
    commands.train(tmp_path, "--steps=6", "--checkpoint_minutes=1e-9", "--keep_checkpoints=10")
    assert steps_in(tmp_path / "checkpoints") == [1, 2, 3, 4, 5, 6]
