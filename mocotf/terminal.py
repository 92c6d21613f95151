"""What goes on, said while it does: on a terminal by one live line, in a file or a pipe now and then.

Whatever may take seconds is a `phase`. Of several, one in another, the innermost is shown.
"""

import contextlib
import errno
import os
import sys
import threading
import time

from rich.cells import cell_len
from rich.console import Console
from rich.console import ConsoleDimensions
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

# Seconds of silence in a phase before a line says how far it is; each is twice the last.
FIRST, LONGEST = 4.0, 60.0
LOOK = 0.25  # seconds between two looks whether it is time
NARROWEST, WIDEST = 6, 30  # columns of a bar
GONE = errno.EPIPE, errno.EIO  # nobody reads any more; the terminal has been closed
# For terminals and files that have no more: what we say ourselves is to be readable.
ASCII = str.maketrans({"·": "-", "×": "x", "…": "...", "→": "->", "±": "+-", "–": "-", "≈": "~"})


class Phase:
    """Something that may take long; `phase` makes it.

    Args:
        name: what is done, as "encoding pictures".
        total: how many of what `unit` says there are; None where nobody knows.
        unit: the plural of what is counted.
        done: of them, before.

    Attributes:
        name, total, unit: as given.
        done: so far.
        beside: texts that are shown with it on a live line, the most important first.
    """

    def __init__(self, name, total=None, unit="pictures", done=0):
        self.total, self.unit, self.done = total, unit, done
        self.beside = ()
        self.restart(name)

    def restart(self, name):
        """Gives it a name, from when on its time counts."""
        self.name, self._from = name, self.done
        self._began = self._heard = time.monotonic()
        self._gap = FIRST

    def advance(self, count=1):
        """Counts what has been done."""
        self.done += count

    def hear(self):
        """Takes note that a line has been printed of it."""
        self._heard = time.monotonic()

    @property
    def seconds_left(self):
        """By the speed so far; None where that is not known."""
        done = self.done - self._from
        if not self.total or done <= 0:
            return None
        return max(0.0, (self.total - self.done) * (time.monotonic() - self._began) / done)

    @property
    def time(self):
        """How long it takes still, or has taken where that is not known, a text."""
        left = self.seconds_left
        return (
            f"{brief(time.monotonic() - self._began)} so far" if left is None else f"{brief(left)} left"
        )

    @property
    def count(self):
        """How far it is, a text; "" where nothing is counted."""
        of = f" of {self.total:,}" if self.total else ""
        return f"{self.done:,}{of} {self.unit}" if self.total or self.done else ""

    def line(self, now):
        """Returns a line of it if it has been silent for long, else None."""
        if now - self._heard < self._gap:
            return None
        self._heard, self._gap = now, min(2 * self._gap, LONGEST)
        return f"{self.name}: {', '.join(filter(None, (self.count, self.time)))}"

    def __rich_console__(self, console, options):
        room = options.max_width - 3  # for ^C
        bar = NARROWEST + 2 if self.total else 0
        shown = self.name
        for part in filter(None, [*self.beside[:1], self.time, *self.beside[1:], self.count]):
            if cell_len(f"{shown}  {part}") + bar <= room:
                shown += f"  {part}"
        row = [Text(shown, no_wrap=True, overflow="ellipsis")]
        if self.total:
            width = min(WIDEST, max(NARROWEST, room - cell_len(shown) - 2))
            row.insert(0, ProgressBar(self.total, min(self.done, self.total), width=width))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_row(*row)
        yield grid


class _Display:
    """Shows the phases of a process: as a live line on `console`, if it has one."""

    def __init__(self):
        self.console = None
        self.live = None
        self.quiet = False
        self._phases = []
        self._over = threading.Event()

    def begin(self, phase):
        self._phases.append(phase)
        if len(self._phases) > 1:
            return
        if self.console:
            options = {"transient": True, "redirect_stdout": False, "redirect_stderr": False}
            self.live = Live(console=self.console, get_renderable=self._innermost, **options)
            self.live.start()
        elif not self.quiet:
            self._over = threading.Event()
            threading.Thread(target=self._speak, args=(self._over,), daemon=True).start()

    def end(self, phase):
        self._phases.remove(phase)
        if not self._phases:
            self.close()

    def close(self):
        """Takes the live line away, and says no more until the next phase."""
        live, self.live = self.live, None
        if live:
            live.stop()
        self._over.set()

    def advance(self, count):
        for phase in self._phases[-1:]:
            phase.advance(count)

    def _innermost(self):
        return self._phases[-1] if self._phases else ""

    def _speak(self, over):
        while not over.wait(LOOK):
            for phase in self._phases[-1:]:
                if line := phase.line(time.monotonic()):
                    print(line, flush=True)


class _Console(Console):
    """rich's, which leaves the cursor where it is: a process that is ended at once would not bring it
    back."""

    def show_cursor(self, show=True):
        return False

    @property
    def size(self):
        """That of the terminal which is written to."""
        columns, lines = os.get_terminal_size(self.file.fileno())
        return ConsoleDimensions(columns or 80, lines or 25)


class Lasting:
    """A stream of text that outlives its reader, and writes in ASCII what its encoding has not.

    Args:
        stream: the other, of a file descriptor.
    """

    def __init__(self, stream):
        self._stream = stream
        self._table = None if (stream.encoding or "").lower().startswith("utf") else ASCII
        if self._table:
            stream.reconfigure(errors="backslashreplace")

    def write(self, text):
        with self._outliving():
            self._stream.write(text.translate(self._table) if self._table else text)
        return len(text)

    def flush(self):
        with self._outliving():
            self._stream.flush()

    @contextlib.contextmanager
    def _outliving(self):
        """Has all that follows go nowhere once nobody reads it: a run does not end for that."""
        try:
            yield
        except OSError as error:
            if error.errno not in GONE:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name):
        return getattr(self._stream, name)


class AboveTheLine:
    """A stream of text whose lines appear above the live line, if there is one.

    Args:
        stream: the other.
    """

    def __init__(self, stream):
        self._stream, self._begun = stream, ""

    def write(self, text):
        *lines, self._begun = (self._begun + text).split("\n")
        if live := _display.live:
            for line in lines:
                live.console.print(Text(line), soft_wrap=True)
        else:
            self._stream.write("\n".join([*lines, self._begun]))
            self._begun = ""
        return len(text)

    def __getattr__(self, name):
        return getattr(self._stream, name)


_display = _Display()


@contextlib.contextmanager
def phase(name, total=None, unit="pictures", *, done=0, shown=True):
    """Shows what is done inside, a `Phase`, which it gives; arguments as of that.

    Args:
        shown: else nothing is: of several workers one says it.
    """
    one = Phase(name, total, unit, done)
    if not shown:
        yield one
        return
    _display.begin(one)
    try:
        yield one
    finally:
        _display.end(one)


def advance(count=1):
    """Counts what has been done of the innermost phase, if there is one."""
    _display.advance(count)


def is_live():
    """Returns whether phases are a live line, beside which few other lines are wanted."""
    return _display.console is not None


def close():
    """Takes the live line away, for the process ends."""
    _display.close()


def begin():
    """Has phases shown as a live line, if output and errors are on a terminal that can do that."""
    dumb = os.environ.get("TERM", "dumb").lower() in ("", "dumb", "unknown")
    if not dumb and sys.stdout.isatty() and sys.stderr.isatty():
        _display.console = _Console(file=Lasting(sys.stdout), force_terminal=True)


def hush():
    """Has no phase shown from now on."""
    _display.console, _display.quiet = None, True


def streams():
    """Returns standard output and error as a command is to write to them."""
    return [AboveTheLine(Lasting(stream)) for stream in (sys.stdout, sys.stderr)]


def open_closed_streams():
    """Gives a process that was started without standard streams such as lead nowhere; else the next
    file that it opens would be taken for one."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # of numbers it takes the lowest that is free
            stream = open(number, "w" if number else "r")  # noqa: SIM115
            for one in (name, f"__{name}__"):  # absl closes what is not among the latter
                setattr(sys, one, stream)


def brief(seconds):
    """Returns "5 s", or "3:05", or what `duration` does, without zeros in front."""
    return f"{seconds:.0f} s" if seconds < 59.5 else duration(seconds).removeprefix("00:").lstrip("0")


def duration(seconds):
    """Returns "2d 03:04:05" for a number of seconds."""
    days, seconds = divmod(round(seconds), 86400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{days}d {clock}" if days else clock
