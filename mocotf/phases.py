"""What may take seconds: how far it is, and how long it takes still, as texts and as a live line."""

import time

from rich.cells import cell_len
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

# Seconds of silence in a phase before a line says how far it is; each is twice the last.
FIRST, LONGEST = 4.0, 60.0
NARROWEST, WIDEST = 6, 30  # columns of a bar


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


def brief(seconds):
    """Returns "5 s", or "3:05", or what `duration` does, without zeros in front."""
    return f"{seconds:.0f} s" if seconds < 59.5 else duration(seconds).removeprefix("00:").lstrip("0")


def duration(seconds):
    """Returns "2d 03:04:05" for a number of seconds."""
    days, seconds = divmod(round(seconds), 86400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{days}d {clock}" if days else clock
