"""Encoded pictures by number, wherever they lie."""

import array
import bisect
import functools
import hashlib
import io
import itertools
import os

import numpy as np
import tensorflow as tf

from mocotf.data.places import remote
from mocotf.data.places.listing import Listing
from mocotf.data.places.lists import is_whole
from mocotf.data.places.lists import path_of
from mocotf.data.places.survey import SAMPLE
from mocotf.data.places.survey import survey
from mocotf.data.places.tree import LeftOut
from mocotf.errors import UserError
from mocotf.files import printable

NOWHERE = (0, 0, 0)  # the spot of what a path says all of
WHOLE = r"/.*|\w+://.*"  # names that say all of where a file is, as `lists.is_whole` has it


class Pictures:
    """Pictures in folders of `Tree`s, found by number in the graph.

    Held per picture: the bytes of its name, and 8 more; in archives another 24.

    Args:
        parts: (tree, path of a folder in it), one after the other.
        take: called with each `Found`, in order, says whether it is one of them; by default all are.

    Attributes:
        counts: pictures of each part.
        left_out: a `LeftOut`.
        root: "" where `path` gives the paths of files; None where some lie in archives.
        servable: whether another process can read them by its graph alone.
    """

    def __init__(self, parts, take=None):
        self._trees = [tree for tree, _ in parts]
        self._roots = [tree.root(folder) for tree, folder in parts]
        self._folders = [os.fsencode(os.path.basename(f)) if len(parts) > 1 else b"" for _, f in parts]
        self.servable = all(tree.plain for tree in self._trees)
        self.root = None if any(tree.archive for tree in self._trees) else ""
        self.left_out, self.counts = LeftOut(), [0] * len(parts)
        spots = array.array("q")

        def names():
            for part, (tree, folder) in enumerate(parts):
                for found in tree.pictures(folder, self.left_out):
                    if take and not take(found):
                        continue
                    self.counts[part] += 1
                    if self.root is None:
                        spots.extend(found.spot or NOWHERE)
                    yield found.name

        self._names = Listing(names())
        self._ends = list(itertools.accumulate(self.counts))
        self._spots = np.frombuffer(spots, np.int64).reshape(-1, len(NOWHERE))

    def __len__(self):
        return len(self._names)

    def name(self, number):
        """Returns the name of a picture below its root, a string tensor."""
        return self._names[number]

    def names(self):
        """Returns an iterator over the names of all pictures, bytes."""
        return iter(self._names)

    def path(self, number):
        """Returns the path of a picture, a string tensor."""
        root = self._roots[0]
        if len(self._roots) > 1:
            part = tf.searchsorted(self._ends, [tf.cast(number, tf.int32)], side="right")[0]
            root = tf.constant(self._roots)[part]
        name = self._names[number]
        path = tf.strings.join([root, name])
        if all(tree.relative for tree in self._trees):
            return path
        return tf.where(tf.strings.regex_full_match(name, WHOLE), name, path)

    def read(self, number):
        """Returns the bytes of a picture, a string tensor; fails in the graph if it cannot be read."""
        if self.servable:
            return tf.io.read_file(self.path(number))
        read = tf.numpy_function(self._read, [number, self.path(number)], tf.string)
        return tf.ensure_shape(read, [])

    def path_of(self, number):
        """Returns the path of a picture, bytes; outside a graph the operators of `path` take long."""
        return path_of(self._roots[self._part(number)], self._names[number].numpy())

    def bytes_of(self, number):
        """Returns the bytes of a picture; any exception means that it cannot be read."""
        return self._read(number, self.path_of(number))

    def survey(self, size):
        """Returns the `Survey` of the first `size` pictures."""

        def opened(number):
            path = self.path_of(number)
            if self._tree(number).local:
                return path
            try:
                return io.BytesIO(self._read(number, path))
            except Exception:  # each place has its own; what cannot be read is told of where it is met
                return io.BytesIO()

        return survey(opened, size)

    def names_digest(self):
        """Returns a text that stands for all names."""
        return self._names.digest()

    def digest(self, size):
        """Returns a text that stands for all names, and for the sizes of `SAMPLE` of the first `size`
        pictures at most."""
        found = hashlib.sha256(self.names_digest().encode())
        for number in map(int, np.linspace(0, size - 1, min(size, SAMPLE), dtype=np.int64)):
            length = self._tree(number).size(self.path_of(number), self._spot(number))
            found.update(length.to_bytes(8, "little", signed=True))
        return found.hexdigest()[:16]

    def contents(self):
        """Yields of each picture (name, function that yields its content), as `Source.contents` has it.

        Names are below the root, after the name of its folder where there are several.
        """
        for number, name in enumerate(self.names()):
            path = path_of(self._roots[self._part(number)], name)
            shown = name if is_whole(name) else os.path.join(self._folders[self._part(number)], name)
            yield shown, functools.partial(self._content, number, path)

    def _content(self, number, path):
        try:
            yield self._read(number, path)
        except Exception as error:  # each place has its own
            if remote.is_url(path) and (why := remote.why_unreadable(path)):
                raise UserError(f"{printable(path)}: {why}; the same command goes on later") from error
            raise

    def _read(self, number, path):
        path = np.asarray(path, object).item()  # eagerly an array, in a graph bytes
        return self._tree(number).read(path, self._spot(number))

    def _tree(self, number):
        return self._trees[self._part(number)]

    def _part(self, number):
        return bisect.bisect_right(self._ends, number)

    def _spot(self, number):
        return tuple(self._spots[number].tolist()) if len(self._spots) else ()
