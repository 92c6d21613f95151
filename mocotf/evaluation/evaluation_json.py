"""evaluation.json: what commands have measured of a run's encoder."""

import os

from mocotf.json_files import update_json

UNTRAINED = "_untrained"  # ends the name of a number that is of the encoder before its first step
STEP = "_step"  # ends the name of the step whose encoder has a number


def add_to_evaluation(run, values, *, trained=True):
    """Adds numbers to the evaluation.json of a `SavedRun`, in place of those of the same names.

    Args:
        run: the run.
        values: name → number, such as knn_top1 in percent.
        trained: they are of the trained encoder.

    Raises:
        UserError: the file that is there cannot be read.
    """
    named = {f"{name}{UNTRAINED}": value for name, value in values.items()}
    if trained:
        named = values | {f"{name}{STEP}": run.step for name in values}
    update_json(os.path.join(run.path, "evaluation.json"), named)
