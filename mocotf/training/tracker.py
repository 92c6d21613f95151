"""What tells a tracker of a run, beside metrics.jsonl and TensorBoard: --tracker.

A thread of its own does it, so that a service that is slow, or gone, holds up no step and fails no run:
metrics.jsonl has all, and what the service has not got it is told with the next record, or when the
run is resumed.
"""

import collections
import concurrent.futures
import contextlib
import io
import itertools
import logging
import threading
import typing

from mocotf import terminal
from mocotf.errors import Preempted
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.settings import NONE
from mocotf.training.trackers import SENDING
from mocotf.training.trackers import MLflow
from mocotf.training.trackers import WandB

log = logging.getLogger(__name__)
SERVICES = {one.NAME: one for one in (WandB, MLflow)}
CHOICES = (NONE, *SERVICES)
OPENING = 90.0  # seconds for a service to answer before a run
ENDING = {"finished": SENDING + 5, "failed": 10.0, "killed": 10.0}  # and to take the rest after it
AT_ONCE = 50  # records


class Point(typing.NamedTuple):
    """What is told of a record.

    Attributes:
        step: of the run.
        time: seconds since 1970.
        values: tag → number.
    """

    step: int
    time: float
    values: dict[str, float]


class Tracker:
    """Tells a service of a run; entered for as long as the run goes on, whose end it tells, too.

    Args:
        service: of `SERVICES`, ready; None: nobody is told.
    """

    def __init__(self, service=None):
        self._service = service
        self._untold, self._told = collections.deque(), -1
        self._thread, self._wake, self._over = None, threading.Event(), threading.Event()
        self._outcome, self._results = None, {}
        self._failure = None

    def open(self, run_dir):
        """Begins to tell of the run in a `RunDir`, or goes on with what was told of it.

        Raises:
            UserError: the service takes nothing.
        """
        if not self._service or self._thread:
            return
        self._told, where = _asked(self._service, lambda: self._service.open(run_dir))
        print(f"tracker: {where}", flush=True)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def log(self, step, time, values):
        """Has a record told, unless its step was: a tracker takes none twice. See `Point`."""
        if self._thread and step > self._told:
            self._told = step
            self._untold.append(Point(step, time, values))
            self._wake.set()

    def summarise(self, results):
        """Has the results of the run told at its end, name → value."""
        self._results = results

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not self._thread:
            return
        asked = kind and issubclass(kind, Preempted | KeyboardInterrupt)
        self._outcome = "killed" if asked else "failed" if kind else "finished"
        self._wake.set()
        with terminal.phase(f"telling {self._service.NAME} the rest"):
            over = self._over.wait(ENDING[self._outcome])
        if not over or self._failure:
            log.warning(
                "--tracker=%s: was not told all (%s); metrics.jsonl has it; the same command once more "
                "tells the rest",
                self._service.NAME,
                self._failure or "it takes too long",
            )

    def _work(self):
        while not self._over.is_set():
            self._wake.wait()
            self._wake.clear()
            outcome, failure = self._outcome, None
            try:
                self._tell(outcome)
            except Exception as error:  # whatever a library raises is no reason to end a run
                failure = reason(error)
                if not self._failure and not outcome:
                    log.warning("--tracker=%s: %s; the run goes on", self._service.NAME, failure)
            self._failure = failure
            if outcome:
                self._over.set()

    def _tell(self, outcome):
        while points := list(itertools.islice(self._untold, AT_ONCE)):
            self._service.log(points)
            for _ in points:
                self._untold.popleft()
        if outcome:
            self._service.close(outcome, self._results)


def connect(name):
    """Returns the `Tracker` that --tracker names, of a service that answers.

    Raises:
        UserError: its library is missing, nobody is logged in, or it does not answer.
    """
    if name == NONE:
        return Tracker()
    with terminal.phase(f"importing {name}"):
        service = SERVICES[name]()
    _asked(service, service.check)
    return Tracker(service)


def _asked(service, act):
    """Returns what a library does before the run, without what it says itself.

    Raises:
        UserError: it fails, or takes too long.
    """
    future = concurrent.futures.Future()

    def work():
        try:
            future.set_result(act())
        except BaseException as error:
            future.set_exception(error)

    # A thread, for none of a pool is left behind where the library never comes back.
    threading.Thread(target=work, daemon=True).start()
    try:
        with terminal.phase(f"asking {service.NAME}"), contextlib.redirect_stderr(io.StringIO()):
            return future.result(OPENING)
    except Exception as error:
        if isinstance(error, UserError):
            raise
        late = isinstance(error, TimeoutError) and not future.done()
        why = f"no answer for {OPENING:.0f} s" if late else reason(error)
        raise UserError(f"--tracker={service.NAME}: {why}; {service.INSTEAD}") from error


def reason(error):
    """Returns what an exception says, or what it came from where that is the system's."""
    cause = error
    while cause := cause.__cause__ or cause.__context__:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{cause.strerror} ({first_line(error)[:60]}…)"
    return first_line(error)
