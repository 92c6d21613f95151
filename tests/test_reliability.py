"""Runs that are ended, diverge, or run out of disk: `python -m mocotf.train` as a user types it."""

import re
import signal
import time

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
from tools.differences import compare

FOREVER = [*commands.SMALL, "--steps=1000000", "--checkpoint_every=1000000"]


def until_asked(folder, number, words, first):
    """Runs `train` until it tells of a step, then asks it to end; returns the step that it saved."""
    process = processes.start("train", *FOREVER, f"--model_dir={folder}")
    process.wait_until(lambda: f"step {first}/" in process.out)
    process.send_signal(number)
    done = process.wait()
    assert done.code == 128 + number, done.err
    assert first == 3 or f"at step {first - 3} of" in done.out
    assert f"{words}: ends after this step, once it is saved\n" in done.out
    return int(re.search(f"{words}; saved at step (\\d+); the same command resumes", done.out)[1])


def test_sigterm_and_ctrl_c_save_and_the_same_command_resumes_at_that_step(tmp_path):
    saved = until_asked(tmp_path, signal.SIGTERM, "asked to end by SIGTERM", 3)
    assert steps_in(tmp_path / "checkpoints") == [saved]
    again = until_asked(tmp_path, signal.SIGINT, "interrupted", saved + 3)
    assert [record["step"] for record in commands.metrics(tmp_path)] == list(range(again + 1))


def test_before_the_first_step_a_run_ends_at_once(tmp_path):
    process = processes.start("train", *FOREVER, f"--model_dir={tmp_path}")
    process.wait_until((tmp_path / "metrics.jsonl").exists)  # then come pictures and accuracies
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    done = process.wait()
    assert done.code == 130 and time.monotonic() - began < 5  # 2 where nothing else runs
    said = "interrupted, with nothing new to save; the same command starts again"
    assert done.out.splitlines()[-1] == said and not steps_in(tmp_path / "checkpoints")


def test_a_run_that_diverges_names_the_step_and_keeps_the_last_healthy_checkpoint(tmp_path):
    options = [*commands.SMALL, "--lr=1e30", "--steps=8", "--checkpoint_every=1", "--log_every=8"]
    done = processes.run("train", *options, f"--model_dir={tmp_path / 'stop'}")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    message = "step 2: loss or .* healthy checkpoint is that of step 1, .*, or --on_nan=restore$"
    assert re.search(message, done.err)
    assert steps_in(tmp_path / "stop" / "checkpoints") == [1] and "nan" not in done.out
    assert all(np.all(np.isfinite(value)) for value in commands.variables(tmp_path / "stop").values())

    options += ["--on_nan=restore", "--max_skipped_batches=2"]
    done = processes.run("train", *options, f"--model_dir={tmp_path / 'restore'}")
    assert done.code == 1 and "(2 batches were left out before)" in done.err
    assert done.err.rstrip().endswith("in another --model_dir, or a larger --max_skipped_batches")
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
        train.main()
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


# A collapse takes 200 steps to be seen: of a loss that can be no other than chance, and of weights that
# shrink to nothing, the faster the higher the rate.
COLLAPSING = ["--batch_size=32", "--log_every=10", "--checkpoint_every=100", "--on_collapse=retry"]
COLLAPSING.append("--nocos")
AT_CHANCE = [*commands.SMALL, *COLLAPSING, "--moco_t=100", "--steps=1000"]


def retries_of(folder):
    return [record for record in commands.metrics(folder) if "retry" in record]


def held_against_killed(folder, moments, steps, *options, program="tests/killed.py"):
    """Checks a run of COLLAPSING that ends healthy against one killed at moments by a program, see
    `tests/killed.py`; returns its `Result`, and the records of its retries."""
    whole, killed = folder / "whole", folder / "killed"
    options = *commands.SMALL, *COLLAPSING, *options, f"--steps={steps}"
    done = processes.succeed(program, "never", *options, f"--model_dir={whole}")
    again = *options, f"--model_dir={killed}"
    for moment in moments:
        assert processes.run(program, moment, *again).code == -signal.SIGKILL
    processes.succeed(program, "never", *again)
    assert compare(whole, killed, steps) == []
    return done, retries_of(whole)


@pytest.mark.slow
def test_a_run_that_collapses_is_retried_and_ends_as_one_never_killed(tmp_path):
    shrink = "--lr=.3", "--weight_decay=.1"
    done, (retry,) = held_against_killed(tmp_path, ["retry", "retried"], 260, *shrink)
    assert re.search(r"step 210: its embeddings are .* back at step 0 with a third", done.err)
    assert "the run collapsed, and was retried once, at last with --lr=0.1" in done.out.splitlines()[-1]
    assert (retry["step"], retry["lr_factor"]) == (0, pytest.approx(1 / 3))
    assert commands.metrics(tmp_path / "whole")[-1]["lr"] == pytest.approx(0.1)


@pytest.mark.slow
def test_a_run_that_collapses_late_is_retried_from_where_it_was_healthy(tmp_path):
    late = "--lr=.01", "--weight_decay=.1", "--schedule=2.1"  # epochs of 200 steps
    late = *late, "--keep_checkpoints=1", "--checkpoint_every=40"
    moments = ["300", "retry", "retried", "retried", "600"]
    done, retries = held_against_killed(tmp_path, moments, 680, *late, program="tests/rising.py")
    # Of each 200 steps the first is kept; all was well until 420.
    assert [(retry["retry"], retry["step"]) for retry in retries] == [(1, 200), (2, 200)]
    assert "back at step 200 with a third of the rate, retry 2 of 3" in done.err
    # One that is older than the last healthy window, and all that may be later.
    assert steps_in(tmp_path / "whole" / "checkpoints") == [0, 400, 600, 680]


@pytest.mark.slow
def test_a_run_that_retries_do_not_help_ends_early_and_says_so_first_and_last(tmp_path):
    options = [*AT_CHANCE, "--knn_every=100", "--knn_bank=100", f"--model_dir={tmp_path}", "--json"]
    done = processes.succeed("train", *options)
    said = done.err.splitlines()
    assert [int(n) for n in re.findall(r"retry (\d) of 3", done.err)] == [1, 2, 3]
    assert re.search(r"its loss, 3.7.., is that of chance, .*; after 3 retries", said[-1])
    last = (
        "was retried 3 times, at last with --lr=0.0044, which did not help: it has ended early; try --"
    )
    verdict = done.out.partition("\nThe run is in ")[0].splitlines()[-1]
    assert last in verdict and "encoder at the end" in done.out
    assert done.json["steps"] == commands.metrics(tmp_path)[-1]["step"] < 1000
    assert "knn_top1" in done.json and "collapsed_at" in commands.metrics(tmp_path)[-1]
    assert steps_in(tmp_path / "checkpoints")[-1] == done.json["steps"]
    again = processes.succeed("train", *options)
    assert again.json == done.json and "\nepoch" not in again.out  # there is nothing left to do


@pytest.mark.slow
def test_a_run_that_is_to_stop_where_it_collapses_says_where_it_was_healthy(tmp_path):
    options = [*AT_CHANCE, f"--model_dir={tmp_path}", "--on_collapse=stop"]
    done = processes.run("train", *options)
    assert done.code == 1 and len(done.err.splitlines()) == 1
    message = r"error: step 210: its loss, .* there is no earlier checkpoint; try --lr=0.04 or --moco_m"
    assert re.search(message, done.err), done.err
    # What was begun otherwise may be retried: its first state is made anew.
    done = processes.succeed("train", *options, "--on_collapse=retry", "--steps=1000")
    assert "back at step 0 with a third of the rate, retry 1 of 3" in done.err
