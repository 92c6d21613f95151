"""Starts a run of several workers on this machine, as a cluster would on several.

    python tools/launch_local.py -n 2 -- --flagfile=flags/demo.cfg --model_dir=runs/demo

What follows -- are flags of `python -m mocotf.train`. Each worker's lines begin with its number. Where
one ends in failure the others are ended; the same command resumes the run, and --restarts has it done
here. The exit code is that of the first worker that failed, 143 where SIGTERM ended the run in good
order.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time

from absl import flags

from mocotf.cli import arguments
from mocotf.training.checkpoints import steps_in
from mocotf.training.termination import Termination
from tools import children

FLAGS = flags.FLAGS
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GRACE = 30  # seconds from SIGTERM to SIGKILL
# Success, flags that cannot be, and a run that was asked to end: to start it again would not help.
FINAL = {0, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM}

flags.DEFINE_integer("n", 2, "Workers.", lower_bound=1)
flags.DEFINE_integer(
    "restarts",
    0,
    "How often all workers are started again after one has failed, or was killed; each checkpoint "
    "that the run saves sets the count back to none.",
    lower_bound=0,
)


def main(*train_flags):
    folder = os.path.join(model_dir(train_flags), "checkpoints")
    failures, saved = 0, newest(folder)
    # What ends this process ends the workers; they decide what they keep.
    with Termination(saves=True, ends="ends once its workers have ended") as termination:
        while True:
            code = run_workers(train_flags, termination)
            if code in FINAL or termination.requested or not FLAGS.restarts:
                return code
            before, saved = saved, newest(folder)
            failures = 1 if saved > before else failures + 1
            if failures > FLAGS.restarts:
                print(
                    f"error: a worker ended with {code}, as after each of --restarts={FLAGS.restarts}, "
                    f"and none of these has come to a checkpoint after step {saved}; see above",
                    file=sys.stderr,
                )
                return code
            print(
                f"a worker ended with {code}: all start again from step {saved}, restart {failures} of "
                f"{FLAGS.restarts} without a new checkpoint",
                flush=True,
            )


def run_workers(train_flags, termination):
    """Runs all workers until they have ended; returns the exit code, see `wait`."""
    addresses = free_addresses(FLAGS.n)
    workers = [start(index, addresses, train_flags) for index in range(FLAGS.n)]
    printers = [threading.Thread(target=echo, args=pair) for pair in enumerate(workers)]
    for printer in printers:
        printer.start()
    code = wait(workers, termination)
    for printer in printers:
        printer.join()
    return code


def model_dir(train_flags):
    """Returns the run's folder, as flags of `mocotf.train` have it; "" where they do not."""
    given = arguments.expand(["", *train_flags])
    found = [text for flag, _, text in (one.partition("=") for one in given) if flag == "--model_dir"]
    return found[-1] if found else ""


def newest(folder):
    """Returns the step of the newest checkpoint in a folder, 0 where there is none."""
    return max(steps_in(folder), default=0)


def free_addresses(count):
    """Returns host:port of so many free ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("localhost", 0))
        return [f"localhost:{free.getsockname()[1]}" for free in sockets]


def start(index, addresses, train_flags):
    """Returns a new worker."""
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return children.start(
        train_flags,
        cwd=ROOT,
        env=os.environ | {"TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def echo(index, worker):
    """Prints a worker's lines."""
    for line in worker.stdout:
        print(f"[{index}] {line}", end="", flush=True)


def wait(workers, termination):
    """Waits for all workers; returns 0, or the exit code of the first that failed."""
    asked = False
    while True:
        if termination.requested and not asked:
            asked = True
            ask_to_end(workers)
        codes = [worker.poll() for worker in workers]
        failed = [code for code in codes if code]
        if failed:
            end(workers)
            return failed[0] if failed[0] > 0 else 128 - failed[0]
        if None not in codes:
            return 0
        time.sleep(0.1)


def end(workers):
    """Ends the workers, by force those that take longer than `GRACE`."""
    deadline = time.monotonic() + GRACE
    ask_to_end(workers)
    for worker in workers:
        try:
            worker.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def ask_to_end(workers):
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()


if __name__ == "__main__":
    command.run(main, positional=None)
