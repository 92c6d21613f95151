"""File names by the million, in little memory."""

import array
import os

import numpy as np
import tensorflow as tf

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


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

    def __getitem__(self, number):
        begin, end = self._begins[number], self._begins[number + 1]
        return tf.strings.substr(self._text, begin, end - begin)


def held(value):
    """Returns a variable in the host's memory, where tf.data reads it.

    A constant would be copied into each graph that uses it, and into each iterator once more.
    """
    with tf.device("CPU:0"):
        return tf.Variable(value, trainable=False)


def list_images(root):
    """Returns the sorted paths of images under `root`; symlinked folders are followed once."""
    return [os.path.join(root, os.fsdecode(name)) for name in images_under(root)]


def images_under(root):
    """Yields what `list_images` lists, as bytes relative to `root`; holds one folder's names at a time.

    Names are bytes, as Unix has them: they need not be UTF-8.
    """
    root, seen = os.path.join(os.fsencode(root), b""), set()
    extensions = tuple(os.fsencode(extension) for extension in EXTENSIONS)
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        names.sort()
        for name in names:
            if name.lower().endswith(extensions):
                yield os.path.join(folder, name)[len(root) :]
