"""File names by the million, in little memory."""

import array
import collections
import hashlib
import os
import stat

import numpy as np
import tensorflow as tf

from mocotf.data.views.decode import HEAD
from mocotf.data.views.decode import format_of

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
# What lies beside pictures, by the million perhaps: not worth a look into it.
NEVER = (
    *(
        ".txt",
        ".json",
        ".jsonl",
        ".xml",
        ".csv",
        ".tsv",
        ".md",
        ".html",
        ".yaml",
        ".yml",
        ".log",
        ".py",
    ),
    *(".npy", ".npz", ".mat", ".pkl", ".pt", ".pth", ".h5", ".parquet", ".zip", ".tar", ".gz", ".db"),
    *(".mp4", ".avi", ".mov", ".pdf", ".ini"),
)
# Of systems, which hold small copies of pictures; beside what begins with a dot.
SYSTEM = (b"__macosx", b"@eadir", b"$recycle.bin", b"system volume information")
NONE = "without an ending"


class Listing:
    """Strings found by number, in the graph: the bytes of all of them, and where each begins.

    So 8 bytes are held beside each string's own; a tensor of strings would take 24, and a Python
    object for each several times that. A lookup costs the same however many strings there are.

    Args:
        names: an iterable of bytes, read once.
    """

    def __init__(self, names):
        text, begins = bytearray(), array.array("q", [0])
        for name in names:
            text += name
            begins.append(len(text))
        self._begins = held(np.frombuffer(begins, np.int64))
        self._text = held(bytes(text))

    def __len__(self):
        return self._begins.shape[0] - 1

    def digest(self):
        """Returns a text that stands for all strings in their order."""
        found = hashlib.sha256(self._text.numpy())
        found.update(self._begins.numpy().tobytes())
        return found.hexdigest()

    def __getitem__(self, number):
        begin, end = self._begins[number], self._begins[number + 1]
        return tf.strings.substr(self._text, begin, end - begin)


def held(value):
    """Returns a variable in the host's memory, where tf.data reads it.

    A constant would be copied into each graph that uses it, and into each iterator once more.
    """
    with tf.device("CPU:0"):
        return tf.Variable(value, trainable=False)


class LeftOut:
    """What was met under a folder and is no picture to be read.

    Attributes:
        hidden: files and folders whose names begin with a dot, and folders of systems.
        embedded: images whose vectors are known.
        others: ending, in lower case → files of no format that is read.
    """

    def __init__(self):
        self.hidden = self.embedded = 0
        self.others = collections.Counter()

    def __str__(self):
        kinds = ", ".join(f"{n:,} {ending}" for ending, n in self.others.most_common(3))
        more = ", …" if len(self.others) > 3 else ""
        others = f"{self.others.total():,} that are no pictures to be read ({kinds}{more})"
        parts = [f"{self.embedded:,} embedded before"] * bool(self.embedded)
        parts += [f"{self.hidden:,} hidden"] * bool(self.hidden) + [others] * bool(self.others)
        return f"left out: {', '.join(parts)}" if parts else ""


def list_images(root, left_out=None):
    """Returns the sorted paths of images under `root`, as `images_under` finds them."""
    return [os.path.join(root, os.fsdecode(name)) for name in images_under(root, left_out)]


def images_under(root, left_out=None):
    """Yields the names of images under `root`, relative to it, sorted; holds one folder's at a time.

    A file whose name ends as pictures' do is one; of others the first bytes decide. What is hidden, and
    folders of systems, are left out; symlinked folders are followed once.

    Names are bytes, as Unix has them: they need not be UTF-8.

    Args:
        left_out: a `LeftOut` that takes count.
    """
    left_out = left_out or LeftOut()
    root, seen = os.path.join(os.fsencode(root), b""), set()
    extensions = tuple(os.fsencode(extension) for extension in EXTENSIONS)
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
            if name.lower().endswith(extensions) or _begins_as_picture(path):
                yield path[len(root) :]
            else:
                left_out.others[os.fsdecode(os.path.splitext(name)[1].lower()) or NONE] += 1


def place_of(name):
    """Returns the key by which names, str, sort as `images_under` yields them: a folder after files."""
    *folders, own = map(os.fsencode, name.split(os.sep))
    return [*((1, folder) for folder in folders), (0, own)]


def is_hidden(name):
    """Returns whether a file or folder of this name, bytes or text, is none of the user's pictures."""
    name = os.fsencode(name)
    return name.startswith(b".") or name.lower() in SYSTEM


def _begins_as_picture(path):
    """Returns whether a file of any name begins as a picture to be read; not of what is no file."""
    if path.lower().endswith(tuple(map(os.fsencode, NEVER))):
        return False
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for ever
            return False
        with open(path, "rb") as file:
            return format_of(file.read(HEAD)) is not None
    except OSError:
        return False
