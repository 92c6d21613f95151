"""Runs of two real processes that talk over the loopback interface."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mocotf.training.checkpoints import read
from mocotf.training.checkpoints import steps_in
from tests.test_reliability import QUICK
from tests.test_reliability import wait_for
from tests.test_train import ROOT
from tests.test_train import command
from tests.test_train import metrics
from tests.test_train import run
from tools.launch_local import free_addresses

LAUNCH = [sys.executable, "tools/launch_local.py", "-n", "2", "--"]
FOREVER = [*QUICK, "--steps=100000", "--checkpoint_every=5"]


def launch(*arguments):
    return subprocess.Popen(
        [*LAUNCH, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def two():
    """Returns the flags that make two processes a cluster, of each."""
    addresses = f"--workers={','.join(free_addresses(2))}"
    return [addresses, "--worker_index=0"], [addresses, "--worker_index=1"]


@pytest.fixture
def workers():
    """Returns a function that starts workers, of flags each; what is left of them is killed."""
    started = []

    def start(*own, together=()):
        for options in own:
            started.append(command(*together, *options))
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_workers_compute_what_two_replicas_do(tmp_path):
    # One graph for both replicas rounds otherwise than two: a rate at which that does not grow.
    options = [*QUICK, "--steps=6", "--check_replicas_every=3", "--lr=0.01"]
    process = launch(*options, f"--model_dir={tmp_path / 'workers'}")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert (
        "[0] worker 0 of 2: the chief, which writes" in out
        and "[1] worker 1 of 2: which writes nothing" in out
    )
    assert "step 6/6" in out and "[1] epoch" not in out
    code, _, err = run(
        *options,
        "--strategy=mirrored",
        "--num_logical_devices=2",
        f"--model_dir={tmp_path / 'replicas'}",
    )
    assert code == 0, err
    losses = [[m["loss"] for m in metrics(tmp_path / run)[1:]] for run in ("workers", "replicas")]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    a, b = (read(str(tmp_path / run / "checkpoints" / "ckpt-6")) for run in ("workers", "replicas"))
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_allclose(value, b[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("asked", [0, 1])
def test_sigterm_of_one_worker_ends_both_at_one_step(tmp_path, workers, asked):
    both = workers(*two(), together=[*FOREVER, f"--model_dir={tmp_path}"])
    wait_for(lambda: steps_in(tmp_path / "checkpoints"), both[0])
    both[asked].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=60)[0].splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [143, 143]
    assert said[0] == said[1]
    assert f"saved at step {steps_in(tmp_path / 'checkpoints')[-1]};" in said[0]


@pytest.mark.parametrize("hung", [0, 1])
def test_a_worker_that_hangs_ends_the_other_within_a_minute(tmp_path, workers, hung):
    both = workers(*two(), together=[*FOREVER, f"--model_dir={tmp_path}"])
    wait_for(lambda: steps_in(tmp_path / "checkpoints"), both[0])
    both[hung].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    _, err = both[1 - hung].communicate(timeout=120)
    assert both[1 - hung].returncode == 1 and time.monotonic() - stopped < 60
    assert "error: a worker is lost" in err and "Traceback" not in err


def test_workers_that_were_started_differently_are_refused(tmp_path, workers):
    first, second = two()
    together = [*FOREVER, f"--model_dir={tmp_path / 'run'}"]
    both = workers([*first, "--lr=.1"], [*second, "--lr=.2"], together=together)
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "the workers of replicas [1] have other flags, data or devices than the chief" in err
    assert not os.path.exists(tmp_path / "run")


ONE_LEAVES_EARLY = """
import os, sys, time
import tensorflow as tf
from mocotf.training import replicas
strategy = tf.distribute.MultiWorkerMirroredStrategy()
if strategy.cluster_resolver.task_id == int(sys.argv[1]):
    replicas._gathered(strategy, 0)
    time.sleep(2)  # the other has its numbers too, and waits a second time
    os._exit(0)
replicas.meet(strategy)
os._exit(7)
"""


@pytest.mark.parametrize("early", [0, 1])
def test_a_worker_that_has_met_the_others_may_leave_while_they_still_wait(early):
    cluster = {"worker": free_addresses(2)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_LEAVES_EARLY, str(early)],
            cwd=ROOT,
            env=os.environ
            | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})},
            text=True,
            stderr=subprocess.PIPE,
        )
        for i in range(2)
    ]
    err = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == ([0, 7] if early == 0 else [7, 0]), err


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_never_comes_is_not_waited_for_forever(tmp_path, index):
    addresses = free_addresses(2)
    options = [f"--workers={','.join(addresses)}", f"--worker_index={index}", "--worker_timeout=5"]
    code, out, err = run(*FOREVER, *options, f"--model_dir={tmp_path / 'run'}")
    assert code == 1 and "Traceback" not in err
    assert f"worker {index} of 2: waits for {', '.join(addresses)}; ends with exit code 1 if" in out
    if index == 1:  # while a chief is ended by a timer, as TensorFlow does not listen
        assert f"{addresses[0]}: " in err and "did not come within --worker_timeout" in err


def test_a_worker_may_come_late(tmp_path, workers):
    first, second = two()
    options = [*QUICK, "--steps=2", f"--model_dir={tmp_path}"]
    workers(first, together=options)
    time.sleep(15)
    for process in workers(second, together=options):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err


def test_shuffled_input_needs_one_process(tmp_path):
    options = [*QUICK, "--shuffle_bn=input", f"--model_dir={tmp_path / 'run'}"]
    process = launch(*options)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert (
        "error: --shuffle_bn=input with 2 workers: no input pipeline has the key images of all" in out
    )
