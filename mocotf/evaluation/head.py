"""The linear layer that a run of `mocotf.finetune` or `mocotf.linear` has trained, and its classes."""

import dataclasses
import os

import numpy as np

from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.training.weights import load_arrays

CLASSES_FILE = "classes.json"
ONE = "fc"  # the layer's name, where the run has no other


@dataclasses.dataclass(frozen=True)
class Head:
    """Features to probabilities.

    Attributes:
        names: of the classes.
        kernel: float32 `[C, classes]`.
        bias: float32 `[classes]`.
    """

    names: tuple[str, ...]
    kernel: np.ndarray
    bias: np.ndarray

    def probabilities(self, features):
        """Returns those of the classes, float32 `[n, classes]`, of features `[n, C]`."""
        scores = features @ self.kernel + self.bias
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)


def open_head(run):
    """Returns the `Head` of a `SavedRun`; of a sweep the layer that was best.

    Raises:
        UserError: it is no supervised run, has not ended, or was made before classes were kept.
    """
    if not run.base:
        raise UserError(
            f"{run.path}: is a pre-training run, which knows no classes; expected one of "
            "mocotf.finetune or mocotf.linear"
        )
    results = os.path.join(run.path, "results.json")
    path = os.path.join(run.path, CLASSES_FILE)
    if not os.path.exists(path) or not os.path.exists(results):
        raise UserError(
            f"{run.path}: has no {CLASSES_FILE}, or has not ended; the command that began it, once "
            "more, ends it and writes both"
        )
    names = read_json(path, {"classes": list})["classes"]
    layer = read_json(results, {"head": str | None}).get("head", ONE)
    kernel, bias = load_arrays(
        run.checkpoint, *(f"{layer}/{layer}/{name}" for name in ("kernel", "bias"))
    )
    return Head(tuple(names), kernel, bias)
