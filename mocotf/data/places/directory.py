"""A folder of this machine."""

import os
import stat

from mocotf.data.places.tree import Found
from mocotf.data.places.tree import LeftOut
from mocotf.data.places.tree import Tree
from mocotf.data.places.tree import is_hidden
from mocotf.data.places.tree import is_picture
from mocotf.data.views.formats import HEAD


class Directory(Tree):
    """A folder; symlinked folders in it are followed once."""

    plain = local = True

    def __init__(self, path):
        self.name = path

    def entries(self, folder):
        with os.scandir(os.path.join(self.name, folder)) as entries:
            seen = [(entry.name, entry.is_dir()) for entry in entries if not is_hidden(entry.name)]
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
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        entries = len(subfolders) + len(names)
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        names = sorted(name for name in names if not is_hidden(name))
        left_out.hidden += entries - len(subfolders) - len(names)
        for name in names:
            path = os.path.join(folder, name)
            if is_picture(name, lambda path=path: _head(path), left_out):
                yield path[len(root) :]


def _head(path):
    """Returns the first bytes of a file; none of what is no file, or cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for ever
            return b""
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""
