"""What goes on, said while it does: on a terminal by one live line, in a file or a pipe now and then.

Whatever may take seconds is a `phase`. Of several, one in another, the innermost is shown.
"""

import contextlib
import os
import sys
import textwrap
import threading
import time

from rich.console import Console
from rich.console import ConsoleDimensions
from rich.live import Live
from rich.text import Text

from mocotf.phases import Phase
from mocotf.streams import Lasting

LOOK = 0.25  # seconds between two looks whether it is time
# Seconds of silence before a line says how far a phase is; each is twice the last.
FIRST, LONGEST = 4.0, 60.0
WHOLE = " |{"  # how lines begin that are to be copied as they are: commands, tables, JSON


class _Display:
    """Shows the phases of a process: as a live line on `console`, if it has one."""

    def __init__(self):
        self.console = None
        self.live = None
        self.quiet = False
        self._phases = []
        self._over = threading.Event()
        self._heard, self._gap = 0.0, FIRST  # when a line was last printed; seconds until the next

    def begin(self, phase):
        self._phases.append(phase)
        if len(self._phases) > 1:
            return
        if self.console:
            self.live = self.console.live(self._innermost)
        elif not self.quiet:
            self._heard, self._gap = phase.began, FIRST
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

    def hear(self):
        """Takes note that a line has been printed, and that none is wanted for a while."""
        self._heard = time.monotonic()

    def _innermost(self):
        return self._phases[-1] if self._phases else ""

    def _speak(self, over):
        while not over.wait(LOOK):
            for phase in self._phases[-1:]:
                if self._is_due(phase):
                    print(phase, flush=True)

    def _is_due(self, phase):
        """Returns whether a line of a phase is to be printed now, and takes it for printed."""
        begins, now = phase.began >= self._heard, time.monotonic()
        due = self._heard + self._gap
        if now < (min(due, phase.began + FIRST) if begins else due):
            return False
        self._heard, self._gap = now, min(2 * (FIRST if begins else self._gap), LONGEST)
        return True


class _Console(Console):
    """rich's, which leaves the cursor where it is: a process that is ended at once would not bring it
    back."""

    def show_cursor(self, show=True):
        return False

    def live(self, innermost):
        """Shows the renderable that a function returns, until the `stop` of what this returns."""
        options = {"transient": True, "redirect_stdout": False, "redirect_stderr": False}
        live = Live(console=self, get_renderable=innermost, **options)
        live.start(refresh=True)  # at once, not when its thread has its turn
        return live

    @property
    def size(self):
        """That of the terminal which is written to."""
        columns, lines = os.get_terminal_size(self.file.fileno())
        return ConsoleDimensions(columns or 80, lines or 25)


class AboveTheLine:
    """A stream of text whose lines appear above the live line, if there is one; on a terminal that can
    have one, prose is broken between words.

    Args:
        stream: the other.
    """

    def __init__(self, stream):
        self._stream, self._begun = stream, ""

    def write(self, text):
        *lines, self._begun = (self._begun + text).split("\n")
        if _display.console:
            lines = [_fitted(line, _display.console.width) for line in lines]
        if live := _display.live:
            for line in lines:
                live.console.print(Text(line), soft_wrap=True)
        else:
            self._stream.write("".join(f"{line}\n" for line in lines))
            if not _display.console:
                self._release()
        return len(text)

    def flush(self):
        if not _display.live:
            self._release()
        self._stream.flush()

    def _release(self):
        self._stream.write(self._begun)
        self._begun = ""

    def __getattr__(self, name):
        return getattr(self._stream, name)


def _fitted(line, columns):
    if line.startswith(tuple(WHOLE)):
        return line
    long = {"break_long_words": False, "break_on_hyphens": False}  # paths and flags
    return "\n".join(textwrap.wrap(line, columns, **long))


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


def hear():
    """Takes note that a line has been printed of the innermost phase."""
    _display.hear()


def is_live():
    """Returns whether phases are a live line, beside which few other lines are wanted."""
    return _display.console is not None


def close():
    """Takes the live line away, for the process ends."""
    _display.close()


def begin(console=None):
    """Has phases shown as a live line: of a console, or if output and errors are on a terminal that can
    do that."""
    if console:
        _display.console = console
        return
    dumb = os.environ.get("TERM", "dumb").lower() in ("", "dumb", "unknown")
    if not dumb and sys.stdout.isatty() and sys.stderr.isatty():
        _display.console = _Console(file=Lasting(sys.stdout), force_terminal=True)


def end():
    """Has phases shown as before `begin`."""
    _display.console = None


def hush():
    """Has no phase shown from now on."""
    _display.console, _display.quiet = None, True


def streams():
    """Returns standard output and error as a command is to write to them."""
    return [AboveTheLine(Lasting(stream)) for stream in (sys.stdout, sys.stderr)]
