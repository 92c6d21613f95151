"""Runs of mocotf.train as processes, some at a time."""

import os
import time

from mocotf.errors import Preempted
from mocotf.files import atomic_write
from mocotf.training.termination import Termination
from tools import children

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAUSE = 0.1  # seconds between looks at the processes


def log_of(run, out):
    """Returns the path of the file that a run's output goes to."""
    return os.path.join(out, "logs", f"{run.name}.log")


def run_all(runs, out, jobs, ended):
    """Runs them, `jobs` at a time, in order; one that fails does not keep the others.

    Args:
        runs: `Run`s.
        out: folder of their folders.
        ended: called with the `Run`, its exit code and its seconds as each ends; the code is None where
            it was asked to end.

    Raises:
        Preempted: on SIGTERM, after the processes have saved and ended; likewise KeyboardInterrupt.
    """
    termination = Termination()
    waiting, running = list(reversed(runs)), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop()
                running[run.name] = run, _start(run, out), time.monotonic()
            time.sleep(PAUSE)
            for run, process, began in list(running.values()):
                if process.poll() is not None:
                    del running[run.name]
                    ended(run, process.returncode, time.monotonic() - began)
            if termination.requested:
                raise Preempted("asked to end by SIGTERM; the same command resumes the grid")
    finally:
        for _, process, _ in running.values():
            process.terminate()
        for run, process, began in running.values():
            process.wait()
            ended(run, None, time.monotonic() - began)


def last_lines(path, count=5):
    """Returns the last lines of a text file."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        return lines.read().splitlines()[-count:]


def _start(run, out):
    log = log_of(run, out)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    config = log.removesuffix(".log") + ".cfg"
    atomic_write(config, "".join(f"--{name}={text}\n" for name, text in sorted(run.flags.items())))
    folder = os.path.join(out, run.name)
    arguments = [f"--flagfile={config}", f"--model_dir={folder}"]
    paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    with open(log, "ab") as file:
        file.write(f"$ {' '.join([*children.TRAIN, *arguments])}\n".encode())
        file.flush()
        return children.start(
            arguments, stdout=file, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        )
