"""An index in the making, kept on disk so that the process may be killed at any time."""

import json
import os
import shutil

import numpy as np

from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.files import lock

LOCK = "lock"


class PartialIndex:
    """The names and vectors embedded so far, in a folder; resumes what was made under the same `about`.

    Args:
        folder: where it is kept until `remove`.
        about: what decides the vectors, a dictionary that JSON can hold.
        dim: length of a vector.

    Attributes:
        seen: images looked at so far, of which the vectors are kept.
        rows: vectors so far.

    Raises:
        UserError: the folder cannot be written, or another process writes it.
    """

    def __init__(self, folder, about, dim):
        self._folder, self._about, self._dim = folder, about, dim
        try:
            os.makedirs(folder, exist_ok=True)
            self._lock = lock(
                self.file(LOCK),
                f"{folder}: another process is writing it; wait for it, or write to another file",
            )
            kept = self._kept()
            if not kept:
                _empty(folder)
                kept = {"seen": 0, "rows": 0, "size": 0}
            # Open for as long as this is.
            self._names = open(self.file("names"), "ab")  # noqa: SIM115
            self._vectors = open(self.file("vectors"), "ab")  # noqa: SIM115
        except OSError as error:
            raise UserError(
                f"{folder}: {error.strerror}; expected a folder that can be written"
            ) from error
        self.seen, self.rows = kept["seen"], kept["rows"]
        # What came after the last `commit` may be there in part.
        for file, size in ((self._names, kept["size"]), (self._vectors, self.rows * dim * 4)):
            file.truncate(size)
            file.seek(size)

    def file(self, name):
        """Returns the path of `name` in the folder."""
        return os.path.join(self._folder, name)

    def add(self, names, vectors, seen):
        """Takes names, a list of str, and their vectors float32 `[n, dim]`; `seen` as the attribute."""
        self._names.write(b"".join(os.fsencode(name) + b"\0" for name in names))
        self._vectors.write(np.ascontiguousarray(vectors, np.float32).tobytes())
        self.rows += len(names)
        self.seen = seen

    def commit(self):
        """Makes sure of what was added: from here on it is not made again."""
        for file in (self._names, self._vectors):
            file.flush()
            os.fsync(file.fileno())
        state = {"seen": self.seen, "rows": self.rows, "size": self._names.tell()}
        atomic_write(self.file("progress.json"), json.dumps(state | {"about": self._about}))

    def result(self):
        """Returns (names, vectors) of all that was added; the vectors stay on disk."""
        self.commit()
        with open(self.file("names"), "rb") as file:
            names = [os.fsdecode(name) for name in file.read().split(b"\0")[:-1]]
        if not names:
            return names, np.zeros([0, self._dim], np.float32)
        shape = (self.rows, self._dim)
        return names, np.memmap(self.file("vectors"), np.float32, "r", shape=shape)

    def remove(self):
        """Removes the folder."""
        for file in (self._names, self._vectors, self._lock):
            file.close()
        shutil.rmtree(self._folder)

    def _kept(self):
        """Returns what the last `commit` wrote, None where it is of something else or not all there."""
        try:
            with open(self.file("progress.json"), encoding="utf-8") as file:
                state = json.load(file)
            sizes = [os.path.getsize(self.file(name)) for name in ("names", "vectors")]
        except (OSError, ValueError):
            return None
        whole = sizes[0] >= state["size"] and sizes[1] >= state["rows"] * self._dim * 4
        return state if whole and state["about"] == self._about else None


def _empty(folder):
    for name in os.listdir(folder):
        if name != LOCK:
            os.remove(os.path.join(folder, name))
