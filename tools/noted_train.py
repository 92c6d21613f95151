"""`python -m mocotf.train` that notes what it learns from: noted_train.py FILE FLAG…

For each batch that is made a line is added to the file: its number in the run, and a checksum of its
views, which tells of order and draws.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # noqa: F401  # isort: skip  (first: it keeps TensorFlow's notices off)

import functools
import runpy
import zlib

import numpy as np
import tensorflow as tf

from mocotf.pretraining import build

WRITTEN = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
make_batches = build.batches


def noted_batches(settings, source, model, order, bad_images, first_step=0):
    """Returns what `build.batches` does; who reads a batch finds it noted."""
    batches = make_batches(settings, source, model, order, bad_images, first_step)

    def noted(number, batch):
        done = tf.numpy_function(note, [number, *batch], tf.int64)
        with tf.control_dependencies([done]):
            return tuple(tf.ensure_shape(tf.identity(x), x.shape) for x in batch)

    return batches.enumerate(first_step).map(noted)


def note(number, *batch):
    checksum = functools.reduce(lambda crc, x: zlib.crc32(x.tobytes(), crc), batch, 0)
    os.write(WRITTEN, f"{number} {checksum:08x}\n".encode())  # one call: whole, or not there
    return np.int64(number)


build.batches = noted_batches
runpy.run_module("mocotf.train", run_name="__main__", alter_sys=True)
