"""Runs of two real processes that talk over the loopback interface."""

import json
import re
import signal
import time

import numpy as np
import pytest

from mocotf.training.checkpoints import steps_in
from tests import commands
from tests import processes
from tests.tiny import ARCH
from tools.launch_local import free_addresses

FOREVER = [*commands.SMALL, "--steps=1000000", "--checkpoint_every=5"]
BOTH = [0, pytest.param(1, marks=pytest.mark.slow)]  # the second is as the first, seen from the other


def two(*together, own=((), ())):
    """Starts two workers of the same flags and of some that each has for itself."""
    options = [*together, f"--workers={','.join(free_addresses(2))}"]
    return [processes.start("train", *options, f"--worker_index={i}", *own[i]) for i in range(2)]


@pytest.mark.parametrize(
    "encoder", [[], pytest.param(["--backbone=tests.keras_models:functional"], marks=pytest.mark.slow)]
)
def test_two_workers_compute_what_two_replicas_do(encoder, tmp_path):
    # One graph for both replicas rounds otherwise than two: a rate at which that does not grow.
    options = ["--bn_splits=1", "--steps=4", "--check_replicas_every=2", "--lr=0.01", *encoder]
    both = two(*commands.SMALL, *options, f"--model_dir={tmp_path / 'workers'}")
    chief, other = (process.wait() for process in both)
    assert chief.code == other.code == 0, chief.err + other.err
    assert "worker 0 of 2: the chief, which writes" in chief.out and "step 4/4" in chief.out
    assert "worker 1 of 2: which writes nothing" in other.out and "epoch" not in other.out
    commands.train(tmp_path / "replicas", *options, *commands.TWO_REPLICAS)
    runs = tmp_path / "workers", tmp_path / "replicas"
    losses = [[m["loss"] for m in commands.metrics(run)[1:]] for run in runs]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    commands.assert_same(*map(commands.variables, runs), rtol=1e-7, atol=1e-5)


@pytest.mark.parametrize("asked", BOTH)
def test_sigterm_of_one_worker_ends_both_at_one_step(tmp_path, asked):
    both = two(*FOREVER, f"--model_dir={tmp_path}")
    both[0].wait_until(lambda: "step 5/" in both[0].out)
    threads = both[0].threads
    both[0].wait_until(lambda: "step 35/" in both[0].out)
    assert both[0].threads < threads + 20  # there is an end to how many a process may have
    both[asked].send_signal(signal.SIGTERM)
    done = [process.wait() for process in both]
    assert [result.code for result in done] == [143, 143], done
    said = [result.out.splitlines()[-1] for result in done]
    saved = f"saved at step {steps_in(tmp_path / 'checkpoints')[-1]}; the same command resumes the run"
    assert said[asked] == f"asked to end by SIGTERM; {saved}"
    assert said[1 - asked] == f"another worker was asked to end; {saved}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "retries", "last"),
    [
        (["--lr=.3", "--weight_decay=.1", "--steps=260"], 1, "at last with --lr=0.1"),
        (["--moco_t=100", "--steps=1000"], 3, "did not help: it has ended early; try --"),
    ],
)
def test_two_workers_retry_a_collapse_together(tmp_path, options, retries, last):
    options = [*commands.SMALL, *options, "--batch_size=32", "--bn_splits=1", "--nocos"]
    options += ["--on_collapse=retry", "--checkpoint_every=100", "--log_every=10"]
    chief, other = (process.wait() for process in two(*options, f"--model_dir={tmp_path}"))
    assert chief.code == other.code == 0, chief.err + other.err
    assert len(re.findall(r"with a third of the rate, retry \d of 3", chief.err)) == retries
    assert last in chief.out.splitlines()[-1] and other.err == ""


@pytest.mark.slow
def test_two_workers_stop_where_the_chief_sees_a_collapse(tmp_path):
    options = [*commands.SMALL, "--log_every=10", "--batch_size=32", "--on_collapse=stop"]
    both = two(*options, "--moco_t=100", "--steps=1000", "--bn_splits=1", f"--model_dir={tmp_path}")
    chief, other = (process.wait() for process in both)
    assert (chief.code, other.code) == (1, 1)
    assert "is that of chance" in chief.err and "the chief says what was seen" in other.err


@pytest.mark.parametrize("hung", BOTH)
@pytest.mark.slow
def test_a_worker_that_hangs_ends_the_other_within_a_minute(tmp_path, hung):
    both = two(*FOREVER, f"--model_dir={tmp_path}")
    both[0].wait_until(lambda: steps_in(tmp_path / "checkpoints"))
    both[hung].send_signal(signal.SIGSTOP)
    done = both[1 - hung].wait(seconds=60)
    assert done.code == 1 and "error: a worker is lost" in done.err and "Traceback" not in done.err


def test_workers_that_were_started_differently_are_refused(tmp_path):
    message = "the workers of replicas [1] have other flags, data or devices than the chief"
    for process in two(*FOREVER, f"--model_dir={tmp_path / 'run'}", own=(["--lr=.1"], ["--lr=.2"])):
        done = process.wait()
        assert done.code == 1 and message in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_what_the_chief_refuses_ends_the_others_in_words(tmp_path):
    for process in two(*commands.SMALL, "--steps=2", "--lr=.1", f"--model_dir={tmp_path / 'run'}"):
        assert process.wait().code == 0
    chief, other = (p.wait() for p in two(*FOREVER, f"--model_dir={tmp_path / 'run'}"))
    assert (chief.code, other.code) == (1, 1) and "holds another run" in chief.err
    assert "error: a worker is lost" in other.err and "Traceback" not in other.err


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


@pytest.mark.parametrize("early", BOTH)
def test_a_worker_that_has_met_the_others_may_leave_while_they_still_wait(tmp_path, early):
    (tmp_path / "leaves.py").write_text(ONE_LEAVES_EARLY)
    cluster = {"worker": free_addresses(2)}
    configs = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]
    envs = [{"TF_CONFIG": json.dumps(config)} for config in configs]
    both = [processes.start(str(tmp_path / "leaves.py"), early, env=env) for env in envs]
    done = [process.wait() for process in both]
    assert [result.code for result in done] == ([0, 7] if early == 0 else [7, 0]), done


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_never_comes_is_not_waited_for_forever(tmp_path, index):
    addresses = free_addresses(2)
    options = [f"--workers={','.join(addresses)}", f"--worker_index={index}", "--worker_timeout=3"]
    done = processes.run("train", *FOREVER, *options, f"--model_dir={tmp_path / 'run'}")
    assert done.code == 1 and "Traceback" not in done.err
    waits = f"worker {index} of 2: waits for {', '.join(addresses)}; ends with exit code 1 if"
    assert waits in done.out
    if index == 1:  # while a chief is ended by a timer, as TensorFlow does not listen
        assert f"{addresses[0]}: " in done.err and "did not come within --worker_timeout" in done.err


@pytest.mark.slow
def test_a_worker_may_come_late(tmp_path):
    addresses = f"--workers={','.join(free_addresses(2))}"
    options = [*commands.SMALL, "--steps=2", addresses, f"--model_dir={tmp_path}"]
    first = processes.start("train", *options, "--worker_index=0")
    time.sleep(15)
    second = processes.start("train", *options, "--worker_index=1")
    done = first.wait(), second.wait()
    assert [result.code for result in done] == [0, 0], done


def test_shuffled_input_needs_one_process(tmp_path):
    options = [*commands.SMALL, "--shuffle_bn=input", f"--model_dir={tmp_path / 'run'}"]
    done = processes.run("tools/launch_local.py", "-n", 2, "--", *options)
    message = "error: --shuffle_bn=input with 2 workers: no input pipeline has the key images of all"
    assert done.code == 1 and message in done.out


@pytest.mark.slow
def test_only_the_chief_chooses_settings_and_a_resumed_run_has_none_chosen(trained, tmp_path):
    folder = tmp_path / "run"
    where = ["--dataset=folder", f"--data_dir={trained / 'pictures'}", "--lr=0.01", "--steps=4"]
    own = [f"--model_dir={folder}"], [f"--model_dir={tmp_path / 'unseen'}"]
    for begun in (False, True):
        chief, other = (p.wait() for p in two(*where, f"--arch={ARCH}", "--moco_dim=16", own=own))
        assert chief.code == other.code == 0, chief.err + other.err
        assert ("chose for 72 pictures" in chief.out) != begun and "chose" not in other.out
    assert "at step 4 of 4" in chief.out and not (tmp_path / "unseen").exists()
