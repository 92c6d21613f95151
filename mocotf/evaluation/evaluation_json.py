"""evaluation.json: what commands have measured of a run's encoder."""

import json
import os

from mocotf.errors import UserError
from mocotf.files import atomic_write

UNTRAINED = "_untrained"  # ends the name of a number that is of the encoder before its first step


def add_to_evaluation(run, values, *, trained=True):
    """Adds numbers to the evaluation.json of a `SavedRun`, in place of those of the same names.

    Args:
        run: the run.
        values: name → number, such as knn_top1 in percent.
        trained: they are of the trained encoder.

    Raises:
        UserError: the file that is there cannot be read.
    """
    path = os.path.join(run.path, "evaluation.json")
    suffix = "" if trained else UNTRAINED
    known = read_numbers(path) | {f"{name}{suffix}": value for name, value in values.items()}
    atomic_write(path, json.dumps(known, indent=2) + "\n")


def read_numbers(path):
    """Returns the name → number of a JSON file of a run; none where there is none.

    Raises:
        UserError: it holds something else.
    """
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path}: {error}; expected a JSON object; remove it, or write it anew"
        ) from error
