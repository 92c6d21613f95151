"""What a call from Python shows while it works: in a notebook in one output of the cell, on a terminal
as a command does."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

import tensorflow as tf
from rich.console import Console

from mocotf import terminal
from mocotf.files import Terminal
from mocotf.phases import brief

WIDTH = 88  # columns, which a cell of any notebook has
BETWEEN = 0.5  # seconds between two looks at what goes on: what is over before shows nothing


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Has what is done inside shown to who has called it, and nothing that is printed do anything else
    to a terminal; for a function, a decorator.

    Streams are of all threads: from another than the main one a call shows lines now and then.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or terminal.is_live():  # the outer call shows it
        yield
        return
    cell = Cell() if in_notebook() else None
    tensorflow = tf.get_logger()
    tensorflow.addFilter(_is_news)
    terminal.begin(cell)
    out, err = map(Terminal, (sys.stdout, sys.stderr) if cell else terminal.streams())
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
    finally:
        terminal.end()
        tensorflow.removeFilter(_is_news)
        if cell:
            cell.close()


def _is_news(record):
    """Returns False of what TensorFlow says of several calls: each has a model of its own."""
    return "tf.function retracing" not in record.getMessage()


def in_notebook():
    """Returns whether this process is the kernel of a notebook: of Jupyter, VS Code, Colab."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class Cell:
    """An output of the cell that runs: in the place of a console, one text that is replaced.

    It is plain text, for which a notebook needs no widgets, and what is stored of it is the last: how
    long it took.
    """

    def __init__(self):
        self._began, self._output = time.monotonic(), None
        options = {"color_system": None, "force_terminal": False, "force_jupyter": False}
        self._console = Console(width=WIDTH, **options)

    def live(self, innermost):
        """Shows the renderable that a function returns, until the `stop` of what this returns."""
        return _Live(self, innermost)

    def show(self, renderable):
        """Replaces the text."""
        with self._console.capture() as text:
            self._console.print(renderable, end="")
        self._put(text.get().rstrip())

    def close(self):
        """Leaves how long it took, if anything was shown."""
        if self._output:
            self._put(f"took {brief(time.monotonic() - self._began)}")

    def _put(self, text):
        display = sys.modules["IPython.display"].display  # a kernel has it; mocotf does not need it
        data = {"text/plain": text}
        if self._output:
            self._output.update(data, raw=True)
        else:
            self._output = display(data, raw=True, display_id=True)


class _Live:
    def __init__(self, cell, innermost):
        self._cell, self._innermost, self._over = cell, innermost, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._over.set()
        self._thread.join()

    def _run(self):
        while not self._over.wait(BETWEEN):
            self._cell.show(self._innermost())
