"""Has workers try cases, and ends those that take too long, too much, or are ended by a case."""

import multiprocessing
import multiprocessing.connection
import os
import tempfile
import time
import typing

from tools.fuzzing.worker import MB
from tools.fuzzing.worker import work

FINDINGS = ("crash", "hang", "over_memory", "silent_difference", "traceback")
START = 600  # seconds for a worker to be ready
ASLEEP = 10  # seconds by the clock for each of the processor's
LOOK = 0.02  # seconds between two looks at the workers' memory
PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


class Case(typing.NamedTuple):
    """What is tried: its number, the target's name, what was done to a good file, and the bytes."""

    number: int
    target: str
    change: str
    content: bytes


class Verdict(typing.NamedTuple):
    """What became of a case: an outcome of its target or one of `FINDINGS`, details, megabytes that a
    step of it took at most, processor seconds of the longest."""

    case: Case
    outcome: str
    details: str
    megabytes: float
    seconds: float


class Limits(typing.NamedTuple):
    """Of a step of a case: processor seconds, for a machine may be busy, and ten times as many by the
    clock; megabytes."""

    seconds: float = 5
    megabytes: float = 500


class Worker:
    """A process that tries one case at a time.

    Args:
        make_targets: as `work` has it.
        limits: a `Limits`.

    Attributes:
        connection: to wait for.
        case: that it tries; None while it starts, or waits.
        ready: whether it has started.
        ended: whether its last case has ended it.
    """

    def __init__(self, make_targets, limits):
        self._limits, self.case, self.ready, self.ended = limits, None, False, False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the worker)
        context = multiprocessing.get_context("fork")  # TensorFlow is imported, and has no threads yet
        self.connection, other = context.Pipe()
        self._process = context.Process(
            target=work, args=(other, make_targets, self._log.fileno()), daemon=True
        )
        self._process.start()
        other.close()
        self._begin("start", 0)

    def give(self, case):
        """Begins a case."""
        self.case = case
        self._begin("sending", self._resident())
        self.connection.send((case.target, case.content))

    def heard(self):
        """Returns the `Verdict` that the worker has sent, or that its end is; None without one."""
        try:
            kind, *said = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return self._ended("crash", f"exit code {self._process.exitcode}: {self._last_words()}")
        if kind == "step":
            self._begin(*said)
            return None
        if kind == "ready":
            self.ready = True
            return None
        outcome, details, megabytes, where, seconds = said
        if megabytes > self._limits.megabytes and outcome not in FINDINGS:
            outcome, details = "over_memory", f"{megabytes:.0f} MB, in {where}"
        case, self.case = self.case, None
        return Verdict(case, outcome, details, megabytes, seconds)

    def overdue(self):
        """Returns the `Verdict` on a case that takes too long or too much, and ends it; else None."""
        if self.ready and not self.case:
            return None
        asleep, busy = time.monotonic() - self._began, self._processor() - self._used
        seconds = self._limits.seconds if self.ready else START
        if busy > seconds or asleep > ASLEEP * seconds:
            return self._ended("hang", f"over {seconds:g} s")
        grown = (self._resident() - self._memory) / MB
        if self.ready and grown > 2 * self._limits.megabytes:
            return self._ended("over_memory", f"over {grown:.0f} MB, ended")
        return None

    def end(self):
        self._process.kill()
        self._process.join()
        self.connection.close()
        self._log.close()

    def _begin(self, step, memory):
        self._step, self._memory = step, memory
        self._began, self._used = time.monotonic(), self._processor()

    def _processor(self):
        """Returns the processor seconds that the process has had, all its threads together."""
        try:
            with open(f"/proc/{self._process.pid}/stat", encoding="utf-8") as file:
                user, system = file.read().rpartition(")")[2].split()[11:13]
        except (OSError, ValueError):
            return 0.0
        return (int(user) + int(system)) / TICKS

    def _ended(self, outcome, details):
        if not self.ready:
            raise RuntimeError(f"the worker did not start: {details}: {self._last_words()}")
        verdict = Verdict(self.case, outcome, f"{details}, in {self._step}", 0.0, 0.0)
        self.end()
        self.ended = True
        return verdict

    def _resident(self):
        try:
            with open(f"/proc/{self._process.pid}/statm", encoding="utf-8") as file:
                return int(file.read().split()[1]) * PAGE
        except (OSError, IndexError):  # it ends just now, of which `heard` will tell
            return 0

    def _last_words(self):
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        fatal = [line for line in lines if line.startswith("Fatal Python error")]
        return (fatal or lines or ["nothing"])[-1][:300]


def hunt(cases, make_targets, limits, processes=2):
    """Yields the `Verdict` on each case of an iterator, in any order."""
    cases = iter(cases)
    workers = [Worker(make_targets, limits) for _ in range(processes)]
    try:
        while True:
            for worker in workers:
                if worker.ready and not worker.case and (case := next(cases, None)):
                    worker.give(case)
            if not any(worker.case for worker in workers) and all(worker.ready for worker in workers):
                return
            speaking = multiprocessing.connection.wait([w.connection for w in workers], LOOK)
            for place, worker in enumerate(workers):
                heard = worker.connection in speaking
                verdict = worker.heard() if heard else worker.overdue()
                if not verdict:
                    continue
                if worker.ended:
                    workers[place] = Worker(make_targets, limits)
                yield verdict
    finally:
        for worker in workers:
            worker.end()
