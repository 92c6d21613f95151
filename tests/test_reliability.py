"""Runs that are ended, diverge, or run out of disk: `python -m mocotf.train` as a user types it."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from mocotf import train
from mocotf.data import pipeline
from mocotf.training.checkpoints import read
from mocotf.training.checkpoints import steps_in
from tests.commands import set_flags
from tests.test_train import ROOT
from tests.test_train import SMALL
from tests.test_train import command
from tests.test_train import comparable
from tests.test_train import metrics
from tests.test_train import run

QUICK = [*SMALL, "--knn_every=0"]


def wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def test_sigterm_saves_and_the_same_command_resumes_at_that_step(tmp_path):
    options = [*QUICK, "--steps=200", "--checkpoint_every=10000", f"--model_dir={tmp_path}"]
    process = command(*options)
    wait_for(lambda: (tmp_path / "metrics.jsonl").exists() and len(metrics(tmp_path)) > 3, process)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143 and time.monotonic() - asked < 10, err
    saved = int(re.search(r"SIGTERM; saved at step (\d+); the same command resumes", out)[1])
    assert steps_in(tmp_path / "checkpoints") == [saved] and saved < 200
    code, out, err = run(*options)
    assert code == 0 and f"at step {saved} of 200" in out, err
    steps = [record["step"] for record in metrics(tmp_path)]
    assert steps == sorted(set(steps)) and steps[-1] == 200


def test_a_run_that_diverges_names_the_step_and_keeps_the_last_healthy_checkpoint(tmp_path):
    options = [*QUICK, "--lr=1e30", "--steps=8", "--checkpoint_every=1", "--log_every=8"]
    code, out, err = run(*options, f"--model_dir={tmp_path / 'stop'}")
    assert code == 1 and len(err.splitlines()) == 1
    found = re.search(
        r"step (\d): loss or gradients .* the last healthy checkpoint is that of step (\d)", err
    )
    assert int(found[1]) == int(found[2]) + 1 == 2
    kept = steps_in(tmp_path / "stop" / "checkpoints")
    assert kept == [1] and "nan" not in out
    values = read(str(tmp_path / "stop" / "checkpoints" / "ckpt-1")).values()
    assert all(np.all(np.isfinite(value)) for value in values)

    options += ["--on_nan=restore", "--max_skipped_batches=2"]
    code, _, err = run(*options, f"--model_dir={tmp_path / 'restore'}")
    assert code == 1 and "(2 batches were left out before)" in err
    assert re.findall(r"back at step (\d), from where batch (\d) is left out", err) == [
        ("1", "1"),
        ("1", "2"),
    ]


@pytest.fixture
def train_on(tmp_path, monkeypatch):
    """Returns a function that runs `main` here, its batches changed by a function of the dataset."""

    def run_here(name, change, *arguments):
        def changed(*args, first_step, **kwargs):
            return change(pipeline.random_views(*args, first_step=0, **kwargs).enumerate()).skip(
                first_step
            )

        monkeypatch.setattr(train, "random_views", changed)
        place = f"--model_dir={tmp_path / name}"
        set_flags(*QUICK, "--strategy=one_device", "--steps=10", place, *arguments)
        handler = signal.getsignal(signal.SIGTERM)
        train.main()
        signal.signal(signal.SIGTERM, handler)
        return read(str(tmp_path / name / "checkpoints" / "ckpt-10"))

    return run_here


def test_on_nan_restore_goes_on_as_if_the_batch_were_not_there(tmp_path, train_on):
    def spoiled(batches):
        nan = tf.constant(float("nan"))
        return batches.map(lambda i, views: tuple(x + tf.where(i == 6, nan, 0.0) for x in views))

    def without(batches):
        return batches.filter(lambda i, _: i != 6).map(lambda _, views: views)

    options = ["--checkpoint_every=4", "--log_every=5"]
    healed = train_on("healed", spoiled, *options, "--on_nan=restore")
    expected = train_on("expected", without, *options)
    assert list(healed.pop("skipped_batches")[:2]) == [6, -1]
    assert set(expected.pop("skipped_batches")) == {-1}
    for name, value in expected.items():
        np.testing.assert_array_equal(value, healed[name], err_msg=name)
    records = [comparable(metrics(tmp_path / run)) for run in ("healed", "expected")]
    assert records[0] == records[1]


def test_init_from_starts_a_new_run_and_a_resume_does_not_start_anew(tmp_path):
    assert run(*QUICK, "--steps=4", f"--model_dir={tmp_path / 'old'}")[0] == 0
    options = [*QUICK, "--steps=2", "--lr=1e-9", f"--init_from={tmp_path / 'old'}"]
    options += [f"--model_dir={tmp_path / 'new'}"]
    code, _, err = run(*options)
    assert code == 0, err
    old = read(str(tmp_path / "old" / "checkpoints" / "ckpt-4"))
    new = read(str(tmp_path / "new" / "checkpoints" / "ckpt-2"))
    name = "query_encoder/conv1/kernel"
    np.testing.assert_allclose(new[name], old[name], atol=1e-6)
    assert new["optimizer/iteration"] == 2
    code, out, err = run(*options)
    assert code == 0 and "at step 2 of 2" in out, err
    code, _, err = run(*options, "--width=.25", f"--model_dir={tmp_path / 'wide'}")
    assert (
        code == 1
        and "is of another architecture: query_encoder/bn1/beta is [8] there, [16] here" in err
    )


def test_checkpoints_by_epochs_and_minutes_and_the_best(tmp_path):
    options = [*SMALL, "--batch_size=1600", "--moco_k=3200", "--steps=8", "--knn_every=1"]
    options += ["--checkpoint_epochs=1", "--keep_checkpoints=5"]
    code, _, err = run(*options, f"--model_dir={tmp_path / 'epochs'}")
    assert code == 0, err
    assert steps_in(tmp_path / "epochs" / "checkpoints") == [4, 8]
    by_knn = {
        r["knn_top1"]: r["step"] for r in reversed(metrics(tmp_path / "epochs")[1:]) if "knn_top1" in r
    }
    assert steps_in(tmp_path / "epochs" / "checkpoints" / "best") == [by_knn[max(by_knn)]]
    options = [*QUICK, "--steps=6", "--checkpoint_minutes=1e-9", "--keep_checkpoints=10"]
    code, _, err = run(*options, f"--model_dir={tmp_path / 'minutes'}")
    assert code == 0 and steps_in(tmp_path / "minutes" / "checkpoints") == [1, 2, 3, 4, 5, 6], err


def chaos(mode, kills):
    process = subprocess.run(
        [sys.executable, "tools/chaos.py", f"--mode={mode}", f"--kills={kills}", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    expected = f'{{"mode": "{mode}", "kills": {kills}, "resumes": {kills}, "mismatches": 0}}'
    assert process.stdout.splitlines()[-1] == expected


@pytest.mark.parametrize(
    ("mode", "kills"), [("one_device", 3), ("two_replicas", 2), ("two_workers", 2)]
)
def test_a_few_kills_leave_no_trace(mode, kills):
    chaos(mode, kills)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["one_device", "two_replicas", "two_workers"])
def test_twenty_kills_leave_no_trace(mode):
    chaos(mode, 20)
