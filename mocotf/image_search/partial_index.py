"""An index in the making, kept on disk so that the process may be killed at any time."""

import hashlib
import logging
import os
import shutil

import numpy as np

from mocotf.errors import UserError
from mocotf.errors import first_line
from mocotf.files import append
from mocotf.files import cannot_write
from mocotf.files import lock
from mocotf.files import make_folder
from mocotf.files import open_to_append
from mocotf.files import remove
from mocotf.json_files import read_json
from mocotf.json_files import write_json

log = logging.getLogger(__name__)

LOCK, PROGRESS = "lock", "progress.json"
FILES = ("names", "vectors")
TYPES = {"seen": int, "rows": int, "size": int, "about": dict, "digests": list | None}
BLOCK = 1 << 22  # bytes that a digest is made of at a time


class PartialIndex:
    """The names and vectors embedded so far, in a folder; resumes what was made under the same `about`,
    unless it is damaged: then it says so and begins anew.

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
        self.seen = self.rows = 0
        self._sizes, self._digests = [0, 0], [hashlib.sha256(), hashlib.sha256()]
        make_folder(folder)
        self._lock = lock(
            self.file(LOCK),
            f"{folder}: another process is writing it; wait for it, or write to another file",
        )
        if not self._take_up():
            for name in os.listdir(folder):
                if name != LOCK:
                    remove(self.file(name))
        self._files = [open_to_append(self.file(name)) for name in FILES]
        for file, size in zip(self._files, self._sizes, strict=True):
            file.truncate(size)  # what came after the last `commit` may be there in part

    def file(self, name):
        """Returns the path of `name` in the folder."""
        return os.path.join(self._folder, name)

    def add(self, names, vectors, seen):
        """Takes names, a list of str, and their vectors float32 `[n, dim]`; `seen` as the attribute.

        Raises:
            UserError: they cannot be written.
        """
        contents = (
            b"".join(os.fsencode(name) + b"\0" for name in names),
            np.ascontiguousarray(vectors, np.float32).tobytes(),
        )
        for i, content in enumerate(contents):
            append(self._files[i], content)
            self._digests[i].update(content)
            self._sizes[i] += len(content)
        self.rows += len(names)
        self.seen = seen

    def commit(self):
        """Makes sure of what was added: from here on it is not made again.

        Raises:
            UserError: it cannot be written; what the last commit made sure of still is.
        """
        for file in self._files:
            try:
                os.fsync(file.fileno())
            except OSError as error:
                raise cannot_write(file.name, error) from error
        digests = [digest.hexdigest() for digest in self._digests]
        state = {"seen": self.seen, "rows": self.rows, "size": self._sizes[0], "digests": digests}
        write_json(self.file(PROGRESS), state | {"about": self._about})

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
        for file in (*self._files, self._lock):
            file.close()
        shutil.rmtree(self._folder)

    def _take_up(self):
        """Goes on from the last `commit`; returns whether there was one of the same, whole."""
        try:
            state = read_json(self.file(PROGRESS), TYPES)
            if not state:
                return False
            if state["about"] != self._about:
                other = ", ".join(_that_differ(state["about"], self._about))
                log.warning("%s: was begun with other %s: beginning anew", self._folder, other)
                return False
            sizes = [state["size"], state["rows"] * self._dim * 4]
            digests = [_digest(self.file(name), size) for name, size in zip(FILES, sizes, strict=True)]
            # An earlier release has kept none.
            if state.get("digests") not in (None, [digest.hexdigest() for digest in digests]):
                raise UserError(f"{self._folder}: names or vectors are not those of their digests")
        except (UserError, OSError) as error:
            log.warning("%s; what was embedded so far is lost: beginning anew", first_line(error))
            return False
        self.seen, self.rows, self._sizes, self._digests = state["seen"], state["rows"], sizes, digests
        return True


def _that_differ(one, other):
    """Returns the keys whose values two dictionaries have not alike."""
    return [name for name in one | other if one.get(name) != other.get(name)]


def _digest(path, size):
    """Returns that of the first `size` bytes of a file, to be added to."""
    found, left = hashlib.sha256(), size
    with open(path, "rb") as file:
        while block := file.read(min(BLOCK, left)):
            found.update(block)
            left -= len(block)
    if left:
        raise UserError(f"{path}: lacks {left} of {size} bytes")
    return found
