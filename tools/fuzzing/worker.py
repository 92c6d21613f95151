"""The process in which cases are tried: what fails it ends this one, and no other."""

import contextlib
import ctypes
import faulthandler
import gc
import os
import time
import traceback

from mocotf.errors import UserError
from tools import children

MB = 2**20
trim = ctypes.CDLL(None).malloc_trim


class Different(Exception):  # noqa: N818  (no error of the program: what it was to find)
    """Two ways to one result disagree, and none has said a word."""


class Meter:
    """Times steps of a case, and takes their peak of memory; the parent hears of each as it begins.

    Attributes:
        most, where: megabytes that a step of this case has taken at most, and its name.
        longest: processor seconds of the longest.
    """

    def __init__(self, connection):
        self._connection = connection
        self.reset()

    def reset(self):
        self.most, self.where, self.longest = 0.0, "", 0.0

    @contextlib.contextmanager
    def step(self, name):
        """Within it is a step of a case."""
        trim(0)  # else what the last case has left would hide what this one takes
        forget_peak()
        before, began = peak(), time.process_time()
        self._connection.send(("step", name, before))
        try:
            yield
        finally:  # what is refused counts too
            self.longest = max(self.longest, time.process_time() - began)
            self.most, self.where = max((self.most, self.where), ((peak() - before) / MB, name))


def forget_peak():
    """Has Linux begin to look for the peak anew."""
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
        file.write("5")


def peak():
    """Returns the most memory that this process has had since `forget_peak`, bytes."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def work(connection, make_targets, log):
    """Tries cases until there is no more parent.

    Args:
        connection: on which (target, bytes) come, and go ("step", name, bytes of memory) and ("done",
            outcome, details, megabytes, the step that took them, seconds).
        make_targets: the `Meter`'s `step` → name → target, a function of a case's bytes that returns an
            outcome, a word, or raises: a `Different`, or what nobody has foreseen.
        log: number of a file that is open; what is printed goes there.
    """
    children.end_with_parent()
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    faulthandler.enable()
    meter = Meter(connection)
    with meter.step("start"):
        targets = make_targets(meter.step)
    connection.send(("ready",))
    while True:
        try:
            name, content = connection.recv()
        except EOFError:
            os._exit(0)
        meter.reset()
        outcome, details = judged(targets[name], content)
        connection.send(("done", outcome, details, meter.most, meter.where, meter.longest))


def judged(target, content):
    """Returns (outcome, details) of a target."""
    try:
        return target(content), ""
    except Different as error:
        return "silent_difference", str(error)
    except UserError as error:
        lines = str(error).splitlines()
        return ("refused", lines[0]) if len(lines) == 1 else ("traceback", f"not one line: {error}")
    except MemoryError:
        return "over_memory", "MemoryError"
    except Exception as error:  # what else there may be is what is looked for
        traceback.print_exc()
        at = traceback.extract_tb(error.__traceback__)[-1]
        said = (str(error).splitlines() or [""])[0][:200]
        return "traceback", f"{type(error).__name__}: {said} ({at.filename}:{at.lineno})"
    finally:
        gc.collect(0)
