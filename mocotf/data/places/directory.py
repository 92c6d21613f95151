"""A folder of this machine."""

import contextlib
import os
import stat

from mocotf.data.places.tree import Found
from mocotf.data.places.tree import LeftOut
from mocotf.data.places.tree import Tree
from mocotf.data.places.tree import is_hidden
from mocotf.data.places.tree import is_picture
from mocotf.data.views.formats import HEAD

SPECIAL = "that are no files, as pipes"


class Directory(Tree):
    """A folder; symlinked folders in it are followed once."""

    plain = local = True

    def __init__(self, path):
        self.name = path

    def entries(self, folder):
        with os.scandir(os.path.join(self.name, folder)) as entries:
            seen = [(e.name, _holds(e.is_dir)) for e in entries if not is_hidden(e.name)]
        return [sorted(name for name, is_dir in seen if is_dir == wanted) for wanted in (True, False)]

    def pictures(self, folder, left_out):
        for name in images_under(os.path.join(self.name, folder), left_out):
            yield Found(name)

    def read(self, path, spot):
        with open(path, "rb") as file:
            return file.read()


class Named(Directory):
    """Files of this machine by their paths, in the order given.

    Args:
        paths: an iterable of text.
    """

    def __init__(self, paths):
        super().__init__("")
        self._paths = list(paths)

    def pictures(self, folder, left_out):
        return (Found(os.fsencode(path)) for path in self._paths)


def list_images(root, left_out=None):
    """Returns the sorted paths of images under `root`, as `images_under` finds them."""
    return [os.path.join(root, os.fsdecode(name)) for name in images_under(root, left_out)]


def images_under(root, left_out=None):
    """Yields the names of images under `root`, bytes, as `Tree.pictures` has it.

    Held are the names in one folder at a time.

    Args:
        left_out: a `LeftOut` that takes count.
    """
    left_out = left_out or LeftOut()
    root, seen = os.path.join(os.fsencode(root), b""), set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        subfolders, names = _entries(folder, left_out)
        for name in names:
            path = os.path.join(folder, name)
            if is_picture(name, lambda path=path: _head(path), left_out):
                yield path[len(root) :]
        waiting += [os.path.join(folder, name) for name in reversed(subfolders)]


def _entries(folder, left_out):
    """Returns the sorted names of folders and of files in a folder; none of one that cannot be read."""
    subfolders, names = [], []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                left_out.hidden += 1
            elif _is_special(entry):
                left_out.refused[SPECIAL] += 1
            else:
                (subfolders if _holds(entry.is_dir) else names).append(entry.name)
    return sorted(subfolders), sorted(names)


def special_in(folder):
    """Returns the names in a folder, bytes, that are neither files nor folders; none of one that cannot
    be read. Their kinds come with their names, where to ask for each takes long on a network."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if _is_special(entry))
    return frozenset()


def _is_special(entry):
    """Returns whether an entry of a folder is neither file nor folder: to open it might never end."""
    if _holds(entry.is_file) or _holds(entry.is_dir):
        return False
    try:
        return not stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a link to nothing is told of where it is read
        return False


def _holds(asked):
    try:
        return asked()
    except OSError:  # a link in a circle
        return False


def _head(path):
    """Returns the first bytes of a file; none of what cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""
