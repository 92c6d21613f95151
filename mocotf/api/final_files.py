"""What makes the folder of a finished run ready to use: the encoder as a Keras file, and a page."""

import logging
import math
import os
import shlex
import time

from mocotf import terminal
from mocotf.api.report import look_at
from mocotf.api.report import write_runs
from mocotf.errors import Preempted
from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import remove
from mocotf.interop import keras_file
from mocotf.moco.saved_run import open_run
from mocotf.reporting.runs import read_runs
from mocotf.training.termination import Termination
from mocotf.training.termination import exit_code

ENCODER, PAGE = "encoder.keras", "report.html"
LIMIT = 30.0  # seconds that the page may take …
MOST = 1000  # … of so many pictures that are asked about, and as many that are compared with them
MAP = 8.0  # of these seconds, for drawing the map
log = logging.getLogger(__name__)


class TooSlow(Exception):  # noqa: N818  (no error)
    """Something would take longer than it may."""


class Patience:
    """Watches how fast pictures pass by, and loses patience as soon as all of them would take too long.

    Args:
        seconds: that all of them may take from now on.
    """

    def __init__(self, seconds):
        self._end = time.monotonic() + seconds
        self._first = None

    def watch(self, done, total):
        """Takes note that `done` pictures of `total` have passed.

        Raises:
            TooSlow: the others would not in time, as fast as those since the first call.
        """
        now = time.monotonic()
        if self._first is None:  # before it there was compiling
            self._first = done, now
        of, began = self._first
        left = (total - done) * (now - began) / (done - of) if done > of else 0
        if now + left > self._end:
            raise TooSlow


def write_final_files(path, source, bad_images):
    """Writes the encoder and the page of a finished run to its folder, but for what is there and newer
    than its newest checkpoint. What fails is a warning: the run is finished all the same.

    Args:
        path: of the run directory.
        source: the `Source` that it has learned from.
        bad_images: a `BadImages` that has seen none.

    Raises:
        Preempted: the process was asked to end meanwhile.
    """
    run, encoder, page = shlex.quote(path), os.path.join(path, ENCODER), os.path.join(path, PAGE)
    commands = {
        encoder: f"python -m mocotf.convert --to=keras {run} {shlex.quote(encoder)}",
        page: f"python -m mocotf.report {run} --out={shlex.quote(page)}",
    }
    steps = {
        encoder: lambda: _write_encoder(path, encoder),
        page: lambda: _write_page(path, page, source, bad_images),
    }
    try:
        saved_at = os.path.getmtime(f"{open_run(path).checkpoint}.index")
    except (UserError, OSError):
        saved_at = math.inf  # there is nothing to make them of, as the attempts will tell

    def missing():
        return [f for f in commands if not os.path.exists(f) or os.path.getmtime(f) < saved_at]

    with Termination(idle="with the run finished"):
        try:
            for file in missing():
                _attempt(steps[file], os.path.basename(file), commands[file])
        except KeyboardInterrupt as stop:
            by_hand = "; ".join(commands[file] for file in missing())
            raise Preempted(f"{path} is finished; by hand: {by_hand}", exit_code(stop)) from stop


def _attempt(write, file, command):
    try:
        write()
    except TooSlow:
        print(f"{file} would take more than {LIMIT:.0f} s, by hand: {command}", flush=True)
    except Exception as error:  # of whatever kind: there is nothing here that a run needs
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        log.warning(
            "the run is finished, but has no %s: %s%s; by hand: %s",
            file,
            kind,
            first_line(error),
            command,
        )


def _write_encoder(path, file):
    remove(file)  # which is of an earlier step; the command that makes it takes the place of none
    with terminal.phase(f"writing {ENCODER}"):
        keras_file.write(open_run(path), file)
    print(f"{file}: the encoder, {os.path.getsize(file) / 1e6:.1f} MB", flush=True)


def _write_page(path, file, source, bad_images):
    watch = Patience(LIMIT - MAP).watch
    pictures = look_at(open_run(path), source, bad_images, MOST, bank=MOST, watch=watch)
    write_runs(file, read_runs([path]), [pictures])
