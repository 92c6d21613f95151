"""Whether the settings of a run are to be chosen, and what they are then."""

import json
import os

from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.pretraining import recipe
from mocotf.pretraining.settings import Pretraining
from mocotf.settings import AUTO
from mocotf.settings import texts_of
from mocotf.training.flags_file import is_run
from mocotf.training.replicas import text_of_chief
from mocotf.training.run_dir import RECIPE_FILE

OWN = ("folder", "hf")  # what people keep their own pictures in


def pretraining_of(asked, values=None):
    """Returns the `Pretraining` settings that an `Asked` gives.

    Args:
        asked: of all of them.
        values: name → value or text, as if they were given.

    Raises:
        UserError: they contradict each other, or one that was given is of another mechanism.
    """
    values = values or {}
    return Pretraining.of({**asked.values, **values}, asked.given | values.keys())


def is_auto(asked):
    """Returns whether settings that are not given are to be chosen, by what was given: so all workers
    agree.

    Raises:
        UserError: --minutes is given, but they are not, or were not for the run that is resumed; or the
            images are not RGB.
    """
    chosen, minutes = asked.values["recipe"] == AUTO, asked.values["minutes"]
    if asked.values["recipe"] is None and "dataset" in asked.given:
        chosen = asked.values["dataset"] in OWN and not asked.from_file
    if chosen and asked.values["channels"] and not resumes(asked):
        raise UserError(
            f"--channels={asked.values['channels']}: the rules by which settings are chosen are for "
            "RGB; try --recipe=v2, or --recipe=none with settings of your own"
        )
    if minutes and resumes(asked):
        _check_minutes(asked)
    elif minutes and not chosen:
        raise UserError(
            f"--minutes={minutes:g} does nothing without --recipe={AUTO}: add it, or drop --minutes"
        )
    return chosen


def choose(asked, source, strategy, worker, workers):
    """Returns (`Pretraining` settings, the `Recipe` that they are from, if they were chosen here).

    The chief chooses, or has what the run was begun with, and tells the other workers.

    Args:
        asked: an `Asked`.
        source: the `Source`.
        strategy: of the run.
        worker, workers: index of this worker, and how many there are.

    Raises:
        UserError: see `recipe.choose`.
    """
    chosen, values = None, {}
    if worker == 0 and not resumes(asked):
        print(f"--recipe={AUTO}: looking at the pictures, and trying some steps", flush=True)
        given = {name: asked.values[name] for name in recipe.DECLARED.keys() & asked.given}
        minutes = asked.values["minutes"] or recipe.MINUTES

        def read(values):
            return pretraining_of(asked, values)

        chosen = recipe.choose(read, given, source, strategy, minutes, workers)
        values = chosen.values
    if workers > 1:
        own = texts_of(pretraining_of(asked, values).saved) if worker == 0 else None
        values = json.loads(text_of_chief(strategy, json.dumps(own)))
    return pretraining_of(asked, values), chosen


def resumes(asked):
    """Returns whether there is a run already where this one is to be."""
    folder = asked.values["model_dir"]
    return bool(folder) and is_run(folder)


def _check_minutes(asked):
    folder, minutes = asked.values["model_dir"], asked.values["minutes"]
    path = os.path.join(folder, RECIPE_FILE)
    known = read_json(path, {"minutes": int | float})["minutes"] if os.path.exists(path) else None
    if known != minutes:
        begun = "with settings of its own" if known is None else f"with --minutes={known:g}"
        raise UserError(
            f"--minutes={minutes:g}: the run in --model_dir={folder} was begun {begun}; drop --minutes "
            "to resume it, or use another --model_dir"
        )
