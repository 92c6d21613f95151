"""What the process imports that tests fork commands from: not mocotf, for code is to be read anew."""

import importlib
import os

MODULES = [
    "tensorflow", "keras", "numba", "skimage.io", "sklearn.linear_model", "tensorflow_datasets",
    "tensorboard.plugins.hparams.api",
]  # fmt: skip

stderr = os.dup(2)
with open(os.devnull, "w") as nowhere:  # TensorFlow's notices
    os.dup2(nowhere.fileno(), 2)
for module in MODULES:
    importlib.import_module(module)
os.dup2(stderr, 2)
