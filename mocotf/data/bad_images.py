"""Images that do not decode: counted, named, and too many of them at some point."""

import contextlib
import logging
import os
import threading

import numpy as np
import tensorflow as tf

from mocotf.data.batches import NOTHING_DECODES
from mocotf.data.places import remote
from mocotf.data.views.formats import FORMATS
from mocotf.errors import UserError
from mocotf.files import append
from mocotf.files import atomic_write
from mocotf.files import name_of
from mocotf.files import open_to_append
from mocotf.files import printable
from mocotf.files import read_file

log = logging.getLogger(__name__)

NAMED = 10  # warnings that name an image; later ones only count, at each power of ten


class BadImages:
    """Counts and names the images that did not decode, each once, from any thread.

    Too many are more than the share `most` of `total`; but one alone, of several images, is never too
    many unless `most` is 0: a set of five should not stop for its one bad file.

    A file whose folder is gone, or empty, as where a disk is away for a while, is no bad image, nor is
    one at an address that does not answer: that is an error, and nothing is noted.

    Args:
        path: file to which names are written, one a line; those in it count, unless they are names of
            files that can be read, see `again`. None keeps names in memory.
        total: images of the set; None never stops.
        most: share of `total` in [0, 1].
        root: folder that names are relative to, where they are names of files; None where not.
        again: all images are still to be met, those of the names in `path` too.
    """

    def __init__(self, path=None, total=None, most=0.1, root=None, *, again=True):
        self.stopped = None  # the message with which `report` stopped the run
        self._path, self._total, self._most, self._root = path, total, most, root
        self._lock = threading.Lock()
        self._names = {}  # as keys, in the order in which they came
        if path and os.path.exists(path):
            # A hint: an image that is bad, and not named because this is damaged, is met again.
            lines = read_file(path).decode(errors="backslashreplace").split("\n")
            names = [printable(line) for line in lines if line]
            kept = (name for name in names if not (again and self._can_be_read(name)))
            self._names = dict.fromkeys(kept)
            if len(self._names) < len(names):
                atomic_write(path, "".join(name + "\n" for name in self._names))

    @property
    def names(self):
        """The names so far, a list of str."""
        with self._lock:
            return list(self._names)

    @contextlib.contextmanager
    def explained(self):
        """Raises the `UserError` that stopped the graph in place of the graph's error."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.stopped:
                raise UserError(self.stopped) from error
            if NOTHING_DECODES not in str(error):
                raise
            raise UserError(
                f"{NOTHING_DECODES}, such as {self.names[0]}; expected {FORMATS}; try "
                "python -m mocotf.check_data, which says what is wrong with each"
            ) from error

    def report_in_graph(self, names):
        """Returns the tensor that, when computed, takes note of `names`, a string tensor."""
        return tf.numpy_function(self.report, [names], tf.int32)

    def report(self, names):
        """Takes note of `names`, an array of bytes.

        Returns:
            The number of bad images so far, np.int32.

        Raises:
            UserError: too many, a folder is gone, or the file cannot be written; in a graph an error of
                TensorFlow's, so `stopped` has the message.
        """
        with self._lock:
            if folder := next(filter(None, map(self._folder_gone, np.ravel(names).tolist())), None):
                self.stopped = (
                    f"{printable(folder)}: is gone, or empty, while images are read from it; the same "
                    "command goes on once it is back"
                )
                raise UserError(self.stopped)
            try:
                self._add([printable(name) for name in np.ravel(names).tolist()])
            except UserError as error:
                self.stopped = str(error)
                raise
            bad = len(self._names)
            if self._are_too_many(bad):
                self.stopped = self._explain(bad)
                raise UserError(self.stopped)
            return np.int32(bad)

    def _can_be_read(self, name):
        if self._root is None:
            return False
        # A name may have in it what only looks escaped, as those of Windows do.
        paths = [os.path.join(os.fsencode(self._root), n) for n in (os.fsencode(name), name_of(name))]
        return any(remote.is_url(path) or os.access(path, os.R_OK) for path in paths)

    def _folder_gone(self, name):
        """Returns the folder of a file, bytes, if that is not there any more, or empty; an address that
        does not answer; else None."""
        if self._root is None:
            return None
        path = os.path.join(os.fsencode(self._root), name)
        if remote.is_url(path):
            return path if remote.why_unreadable(path) else None
        folder = os.path.dirname(path) or b"."
        try:
            with os.scandir(folder) as entries:
                return None if any(True for _ in entries) else folder
        except OSError:
            return folder

    def _are_too_many(self, bad):
        if self._total is None or bad <= self._most * self._total:
            return False
        return bad > 1 or self._total == 1 or self._most == 0

    def _add(self, names):
        """Keeps, writes and warns of those that are new."""
        new = [name for name in dict.fromkeys(names) if name not in self._names]
        if new and self._path:
            with open_to_append(self._path) as file:
                append(file, "".join(name + "\n" for name in new).encode())
        for name in new:
            self._names[name] = None
            self._warn(name, len(self._names))

    def _warn(self, name, count):
        where = f"; their names are in {self._path}" if self._path else ""
        if count <= NAMED:
            log.warning(
                "skipped %s: it does not decode, or is over --max_pixels (%d so far)", name, count
            )
        if count == NAMED:
            log.warning("more images that do not decode are only counted%s", where)
        if count > NAMED and count == 10 ** (len(str(count)) - 1):
            log.warning("skipped %d images so far: they do not decode%s", count, where)

    def _explain(self, bad):
        where = (
            f"their names are in {self._path}" if self._path else f"one is {next(iter(self._names))}"
        )
        return (
            f"{bad} of {self._total} images ({100 * bad / self._total:.3g} %) do not decode, more than "
            f"--max_bad_images={self._most:g}; {where}; expected {FORMATS}; try "
            "python -m mocotf.check_data, which says what is wrong, or a larger --max_bad_images"
        )
