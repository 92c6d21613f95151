"""Runs a command, and names on stderr what is slow in it and in no phase: nothing is said meanwhile.

    python tests/speaking.py knn --model_dir=runs/demo

Slow is what takes longer the more pictures there are, or the larger the encoder is.
"""

import runpy
import sys

import keras
import scipy.optimize
import sklearn.manifold
import tensorflow as tf
from tensorflow.python.data.ops.iterator_ops import OwnedIterator
from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

from mocotf import terminal
from mocotf.data.places.parts import Parts
from mocotf.data.places.pictures import Pictures

SILENT = "silent: "
SLOW = [
    (Function, "__call__"),  # what TensorFlow compiles: an encoder's features, a step
    (OwnedIterator, "__next__"),  # a batch of views
    (Parts, "__init__"),
    (Pictures, "__init__"),
    (Pictures, "survey"),
    (Pictures, "bytes_of"),
    (keras.Model, "__call__"),
    (keras.Model, "save"),
    (keras.saving, "load_model"),
    (sklearn.manifold.TSNE, "fit_transform"),
    (scipy.optimize, "minimize"),
]


def watch(owner, name):
    """Has a function say where it is called while no phase is shown."""
    real = getattr(owner, name)

    def watched(*args, **kwargs):
        # What is called while a graph is built is not computed then.
        if not terminal._display._phases and not tf.inside_function():
            frame, place = sys._getframe(1), "?"
            while frame and "/mocotf/" not in (place := frame.f_code.co_filename):
                frame = frame.f_back
            line = frame.f_lineno if frame else 0
            sys.__stderr__.write(f"{SILENT}{owner.__name__}.{name}, {place}:{line}\n")
        return real(*args, **kwargs)

    setattr(owner, name, watched)


if __name__ == "__main__":
    for slow in SLOW:
        watch(*slow)
    command = sys.argv.pop(1)
    runpy.run_module(f"mocotf.{command}", run_name="__main__", alter_sys=True)
