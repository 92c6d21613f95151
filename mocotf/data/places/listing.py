"""File names by the million, in little memory."""

import array
import hashlib
import itertools

import numpy as np
import tensorflow as tf


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

    def __iter__(self):
        text, begins = self._text.numpy(), self._begins.numpy()
        return (text[begin:end] for begin, end in itertools.pairwise(begins))

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
