"""Standard streams that outlive their readers, and write what is readable in any encoding."""

import contextlib
import errno
import os
import sys

GONE = errno.EPIPE, errno.EIO  # nobody reads any more; the terminal has been closed
# For terminals and files that have no more: what we say ourselves is to be readable.
ASCII = str.maketrans({"·": "-", "×": "x", "…": "...", "→": "->", "±": "+-", "–": "-", "≈": "~"})


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


def open_closed():
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
