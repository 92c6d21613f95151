"""Commands as a user types them, each in a process of its own that ends with its test.

To import TensorFlow takes longer than what most commands are tested for. So one process imports it,
once, and forks for each command: what runs is the module itself, as `python -m` runs it, with flags,
devices and threads of its own. `python` starts an interpreter anew, for what is about starting one.
"""

import contextlib
import ctypes
import json
import multiprocessing
import os
import pathlib
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import typing

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT = 300  # seconds: against waiting for ever, no measure of speed
PR_SET_PDEATHSIG = 1  # prctl(2)

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.preload"])
running = []  # not yet known to have ended
_libc = ctypes.CDLL(None)


class Result(typing.NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The object that --json prints as the last line."""
        return json.loads(self.out.splitlines()[-1])


class Process:
    """A command that runs; `start` and `python` make it.

    Args:
        launch: (file of its output, file of its errors) → the process, whose group is its own.
        poll: the process → its exit code, None while it runs.
    """

    def __init__(self, launch, poll):
        self._out, self._err = (tempfile.NamedTemporaryFile("r") for _ in range(2))  # noqa: SIM115
        self._process = launch(self._out.name, self._err.name)
        self.poll = lambda: poll(self._process)
        running.append(self)

    @property
    def out(self):
        """What it has printed so far."""
        return pathlib.Path(self._out.name).read_text()

    @property
    def err(self):
        """What it has printed as errors so far."""
        return pathlib.Path(self._err.name).read_text()

    @property
    def threads(self):
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self._process.pid}/task"))

    @property
    def pid(self):
        return self._process.pid

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def wait(self, seconds=LIMIT):
        """Returns the `Result`.

        Raises:
            AssertionError: it has not ended in time; it is killed, and the message has what it said.
        """
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"still running after {seconds} s; {self.out}\n{self.err}")
            time.sleep(0.005)
        return Result(self.poll(), self.out, self.err)

    def wait_until(self, condition):
        """Waits for a condition, which is to hold before the process ends."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert self.poll() is None, f"it has ended: {self.wait()}"
            assert time.monotonic() < deadline, f"not within {LIMIT} s; {self.out}\n{self.err}"
            time.sleep(0.005)

    def kill(self):
        """Ends it, and all of its group, at once; not what has its number since, where it has ended."""
        for kill in (os.killpg, os.kill):  # it may not have its group yet
            with contextlib.suppress(ProcessLookupError):
                if self.poll() is None:
                    kill(self._process.pid, signal.SIGKILL)
        while self.poll() is None:
            time.sleep(0.005)


def start(module, *arguments, env=None, cwd=ROOT):
    """Returns a `Process` of a command.

    Args:
        module: "train" for mocotf.train, or the path of a program, as "tools/chaos.py".
        arguments: of the command line, of any type.
        env: name → text, changes of the environment.
        cwd: the folder it runs in.
    """
    arguments = [*map(str, arguments)]

    def launch(out, err):
        process = _forks.Process(target=_run, args=(module, arguments, env or {}, cwd, out, err))
        process.start()
        return process

    return Process(launch, lambda process: process.exitcode)


def run(module, *arguments, **options):
    """Returns the `Result` of a command; arguments as of `start`."""
    return start(module, *arguments, **options).wait()


def succeed(module, *arguments, **options):
    """Returns the `Result` of a command, whose exit code has to be 0."""
    done = run(module, *arguments, **options)
    assert done.code == 0, done
    return done


def refuse(module, arguments, message, code=1):
    """Checks that a command ends with an exit code and one line of errors that has a message in it.

    Its output is at most which pictures it found, and how far it is.
    """
    done = run(module, *arguments)
    assert (done.code, len(done.err.splitlines())) == (code, 1), done
    # On a busy machine a phase may say that it goes on.
    assert re.fullmatch(r"(.*: [\d,]+ images\b.*\n|.*: .* (so far|left)\n)*", done.out), done
    assert done.err.startswith("error: ") and message in done.err, done


def wait_until(condition, seconds=LIMIT):
    """Waits for a condition, which no process of this one may be able to tell of."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.005)


def python(*arguments, env=None, cwd=ROOT):
    """Returns a `Process` of an interpreter that starts anew: `python("-m", "mocotf.knn")`."""
    command = [sys.executable, *map(str, arguments)]

    def launch(out, err):
        options = {"cwd": cwd, "env": os.environ | (env or {}), "stdin": subprocess.DEVNULL}
        options |= {"start_new_session": True, "preexec_fn": _die_with_parent}
        with open(out, "w") as out, open(err, "w") as err:
            return subprocess.Popen(command, stdout=out, stderr=err, **options)

    return Process(launch, subprocess.Popen.poll)


def end_all(but=()):
    """Kills all processes that still run, but those in `but`."""
    for process in running:
        if process not in but:
            process.kill()
    running[:] = but


def _run(module, arguments, env, cwd, out, err):
    """Becomes the command, in a process just forked."""
    os.setsid()
    _die_with_parent()
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY), number)
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = [module, *arguments]
    if module.endswith(".py"):
        sys.path.insert(0, os.path.dirname(module))
        runpy.run_path(module, run_name="__main__")
    else:
        sys.path.insert(0, ROOT)
        runpy.run_module(f"mocotf.{module}", run_name="__main__", alter_sys=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
