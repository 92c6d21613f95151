"""What may take seconds: how far it is, and how long it takes still, as texts and as a live line."""

import time

from rich.cells import cell_len
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

NARROWEST, WIDEST = 6, 30  # columns of a bar


class Phase:
    """Something that may take long; `terminal.phase` makes it.

    Args:
        name: what is done, as "encoding pictures".
        total: how many of what `unit` says there are; None where nobody knows.
        unit: the plural of what is counted.
        done: of them, before.

    Attributes:
        name, total, unit: as given.
        done: so far.
        began: seconds on a clock, when it got its name.
        beside: texts that are shown with it on a live line, the most important first.
    """

    def __init__(self, name, total=None, unit="pictures", done=0):
        self.total, self.unit, self._done = total, unit, done
        self._timed = None  # how many were done when, since when its speed is known
        self.beside = ()
        self.restart(name)

    def restart(self, name):
        """Gives it a name, from when on its time counts."""
        self.name, self.began = name, time.monotonic()

    @property
    def done(self):
        return self._done

    @done.setter
    def done(self, count):
        if self._timed is None:  # the first waits for what is compiled
            self._timed = count, time.monotonic()
        self._done = count

    def advance(self, count=1):
        """Counts what has been done."""
        self.done += count

    @property
    def seconds_left(self):
        """By the speed since the first was done; None where that is not known."""
        if not self.total or self._timed is None:
            return None
        before, since = self._timed
        if self.done <= before:
            return None
        return max(0.0, (self.total - self.done) * (time.monotonic() - since) / (self.done - before))

    @property
    def time(self):
        """How long it takes still, or has taken where that is not known, a text."""
        if left := self.seconds_left:
            return f"{brief(left)} left"
        return f"{brief(time.monotonic() - self.began)} so far"

    @property
    def count(self):
        """How far it is, a text; "" where nothing is counted."""
        of = f" of {self.total:,}" if self.total else ""
        return f"{self.done:,}{of} {self.unit}" if self.total or self.done else ""

    def __str__(self):
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


def brief(seconds):
    """Returns "5 s", or "3:05", or what `duration` does, without zeros in front."""
    return f"{seconds:.0f} s" if seconds < 59.5 else duration(seconds).removeprefix("00:").lstrip("0")


def duration(seconds):
    """Returns "2d 03:04:05" for a number of seconds."""
    days, seconds = divmod(round(seconds), 86400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{days}d {clock}" if days else clock
