"""evaluation.json: what is known of a run's encoder, command by command."""

import json
import os

from mocotf.files import atomic_write

UNTRAINED = "_untrained"  # ends the name of a number that is of the encoder before its first step


def enter(run, values, *, trained=True):
    """Adds numbers to the evaluation.json of a `SavedRun`, in place of those of the same names.

    Args:
        run: the run.
        values: name → number, such as knn_top1 in percent.
        trained: they are of the trained encoder.
    """
    suffix = "" if trained else UNTRAINED
    known = entries(run.path) | {f"{name}{suffix}": value for name, value in values.items()}
    atomic_write(os.path.join(run.path, "evaluation.json"), json.dumps(known, indent=2) + "\n")


def entries(path):
    """Returns the name → number of a run directory's evaluation.json; none where there is none."""
    path = os.path.join(path, "evaluation.json")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)
