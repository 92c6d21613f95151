"""From what a user names to places, and in them what is trained on and what is held out."""

import functools
import glob
import os
import re

from mocotf.data.places import remote
from mocotf.data.places.archives import COMPRESSED
from mocotf.data.places.archives import ENDINGS
from mocotf.data.places.archives import Archive
from mocotf.data.places.directory import Directory
from mocotf.data.places.lists import ListFile
from mocotf.data.places.remote import Remote
from mocotf.data.places.tree import LeftOut
from mocotf.data.places.tree import is_hidden
from mocotf.errors import UserError

TRAIN = ("train", "training", "trn")
HELD_OUT = ("val", "valid", "validation", "test", "testing", "tst", "eval", "evaluation", "dev")
NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")  # as shells and WebDataset write many names


class Parts:
    """Folders of places: to train on, and held out.

    `DIR/train` and `DIR/val`, where both exist under one of the names of `TRAIN` and `HELD_OUT`, are
    these; else all is trained on. A place that has but one folder, and nothing beside it, stands for
    that. Archives that lie in a folder by themselves are parted by the first word of their names.

    Args:
        data_dir: a folder, a zip or tar archive, a folder of such, a pattern of them, an address, or
            several of these with commas between; None with a list alone.
        files: path of a list, whose paths are below `data_dir`.

    Attributes:
        training, held_out: (tree, path of a folder in it).
        trees: of all places.
        unused: names of folders and archives that are neither.
        damaged: of places that can be read in part, what is wrong.

    Raises:
        UserError: one of these is not there.
    """

    def __init__(self, data_dir, files=None):
        self.training, self.held_out, self.trees, self.unused, self.damaged = [], [], [], [], []
        if files:
            folder = data_dir and os.path.expanduser(data_dir)
            self.trees.append(ListFile(os.path.expanduser(files), folder))
            self.training.append((self.trees[0], ""))
            return
        paths = _paths(data_dir)
        for path in paths:
            if os.path.isdir(path) and (archives := _archives_in(path)):
                self._part_archives(path, archives)
            else:
                self._part(self._open(path), alone=len(paths) == 1)

    def _open(self, path):
        self.trees.append(self._tree(path))
        return self.trees[-1]

    def _tree(self, path):
        if remote.is_url(path):
            return Remote(path)
        if path.lower().endswith(ENDINGS) and os.path.isfile(path):
            archive = Archive(path)
            self.damaged += [archive.damaged] * bool(archive.damaged)
            return archive
        if path.lower().endswith(COMPRESSED):
            raise UserError(
                f"--data_dir={path}: packed as a whole, so that no picture is found but from the "
                "beginning; expected a .tar or .zip; unpack it once"
            )
        if not os.path.isdir(path):
            raise UserError(f"--data_dir={path}: no such folder; expected a folder of images")
        return Directory(path)

    def _part(self, tree, alone):
        """Finds the parts of one place: of several, not `alone`, each may hold one class."""
        folder, (folders, others) = "", tree.entries("")
        while alone and len(folders) == 1 and not others:
            inner = os.path.join(folder, folders[0])
            if tree.local and _leads_up(tree, inner, folder):
                break
            folder, (folders, others) = inner, tree.entries(inner)
        train, held_out = _known(folders)
        if not (train and held_out):
            self.training.append((tree, folder))
            return
        queries = next((n for n in held_out if _has_classes(tree, os.path.join(folder, n))), None)
        self.training.append((tree, os.path.join(folder, train[0])))
        if queries:
            self.held_out.append((tree, os.path.join(folder, queries)))
        self.unused += [name for name in folders if name not in (train[0], queries)]

    def _part_archives(self, path, names):
        """Finds the parts of a folder that holds archives."""
        words = {name: re.match(r"[A-Za-z]*", name)[0].lower() for name in names}
        train, held_out = ([n for n in names if words[n] in known] for known in (TRAIN, HELD_OUT))
        if not (train and held_out):
            train, held_out = names, []
        self.training += [(self._open(os.path.join(path, name)), "") for name in train]
        self.held_out += [(self._open(os.path.join(path, name)), "") for name in held_out]
        self.unused += [name for name in names if name not in (*train, *held_out)]


def whole(path):
    """Returns the whole path of a place, from the root; an address as it is."""
    return path if remote.is_url(path) else os.path.abspath(os.path.expanduser(path))


def read_named(path):
    """Returns the bytes of a picture by its path: of a file, in an archive, or at an address.

    Args:
        path: text; in an archive its name follows the archive's path.
    """
    for end in (match.end() for ending in ENDINGS for match in re.finditer(f"{ending}/", path, re.I)):
        if os.path.isfile(path[: end - 1]):
            archive, name = _opened(path[: end - 1]), os.fsencode(path[end:])
            return archive.read(name, archive.spot_of(name))
    return remote.read(path)


_opened = functools.lru_cache(maxsize=8)(Archive)


def _paths(text):
    """Returns the paths that --data_dir names."""
    known = os.path.expanduser(text)
    if os.path.exists(known):
        return [known]
    paths = []
    for part in map(os.path.expanduser, filter(None, text.split(","))):
        numbered = [part]
        if found := NUMBERS.search(part):
            first, last = found.groups()
            numbers = (str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))
            numbered = [part[: found.start()] + n + part[found.end() :] for n in numbers]
        for one in numbered:
            is_pattern = glob.has_magic(one) and not os.path.exists(one) and not remote.is_url(one)
            paths += sorted(glob.glob(one)) or [one] if is_pattern else [one]
    return paths


def _archives_in(path):
    """Returns the names of the archives in a folder that holds nothing else; none of any other."""
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a folder that can be read") from error
    return sorted(names) if all(name.lower().endswith(ENDINGS) for name in names) else []


def _known(folders):
    """Returns the names, as they are written, that stand for (what is trained on, what is held out)."""
    known = {name.lower(): name for name in folders}
    return ([known[n] for n in names if n in known] for names in (TRAIN, HELD_OUT))


def _leads_up(tree, inner, folder):
    """Returns whether a folder is a link to one that it lies in."""
    inner, folder = (os.path.realpath(os.path.join(tree.name, path)) for path in (inner, folder))
    return os.path.join(folder, "").startswith(os.path.join(inner, ""))


def _has_classes(tree, folder):
    """Returns whether any picture under a folder is in a sub-folder, or has a label."""
    return any(b"/" in found.name or found.label for found in tree.pictures(folder, LeftOut()))
