"""Runs of mocotf.train as processes, some at a time."""

import os
import time

from mocotf.errors import Preempted
from mocotf.files import atomic_write
from mocotf.training.termination import Termination
from tools import children

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAST_LINES = 5  # of the output of a run that failed
PAUSE = 0.1  # seconds between looks at the processes


def log_of(run, out):
    """Returns the path of the file that a run's output goes to."""
    return os.path.join(out, "logs", f"{run.name}.log")


def flags_of(run, out):
    """Returns the path of the file of the flags that a run is started with."""
    return os.path.join(out, "logs", f"{run.name}.cfg")


def run_all(runs, out, jobs, ended):
    """Runs them, `jobs` at a time, in order; one that fails does not keep the others.

    Each has its share of the cores to itself.

    Args:
        runs: `Run`s.
        out: folder of their folders.
        ended: called with the `Run`, its exit code and its seconds as each ends; the code is None where
            it was asked to end.

    Raises:
        Preempted: on SIGTERM or Ctrl-C, after the processes have saved and ended.
    """
    waiting, running = list(reversed(runs)), {}
    free = shares(sorted(os.sched_getaffinity(0)), jobs)
    with Termination(saves=True, ends="ends once its runs have saved") as termination:
        try:
            while waiting or running:
                while waiting and free:
                    run, cores = waiting.pop(), free.pop(0)
                    running[run.name] = run, _start(run, out, cores), time.monotonic(), cores
                time.sleep(PAUSE)
                for run, process, began, cores in list(running.values()):
                    if process.poll() is not None:
                        del running[run.name]
                        free.append(cores)
                        ended(run, process.returncode, time.monotonic() - began)
                if termination.requested:
                    raise Preempted(
                        f"{termination.words}; the same command resumes the grid", termination.code
                    )
        finally:
            for _, process, *_ in running.values():
                process.terminate()
            for run, process, began, _ in running.values():
                process.wait()
                ended(run, None, time.monotonic() - began)


def shares(cores, jobs):
    """Returns the sets of cores of so many runs at a time: as even as can be; shared where cores are
    fewer."""
    return [set(cores[job % len(cores) :: jobs]) for job in range(jobs)]


def failure(run, out, code, seconds):
    """Returns what there is to say of a run that failed: its exit code, time and last lines."""
    log = log_of(run, out)
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()[-LAST_LINES:]
    told = f"failed with exit code {code}, {seconds:.0f} s; the end of {log}:"
    return "\n    ".join([told, *lines])


def _start(run, out, cores):
    log = log_of(run, out)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    config = flags_of(run, out)
    atomic_write(config, "".join(f"--{name}={text}\n" for name, text in run.flags.items()))
    folder = os.path.join(out, run.name)
    arguments = [f"--flagfile={config}", "--nofinal_files", f"--model_dir={folder}"]
    paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    with open(log, "ab") as file:
        file.write(f"$ {' '.join([*children.TRAIN, *arguments])}\n".encode())
        file.flush()
        return children.start(
            arguments, cores, stdout=file, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        )
