"""--recipe: whether the settings of a run are to be chosen, and what they are then."""

import json
import os

from absl import flags

from mocotf.cli import arguments
from mocotf.cli import settings_flags
from mocotf.cli import train_flags
from mocotf.errors import UserError
from mocotf.files import read_json
from mocotf.pretraining import recipe
from mocotf.settings import AUTO
from mocotf.settings import texts_of
from mocotf.training.replicas import text_of_chief
from mocotf.training.run_dir import FLAGS_FILE

FLAGS = flags.FLAGS
OWN = ("folder", "hf")  # what people keep their own pictures in
settings_flags.define(recipe.RecipeSettings)


def is_auto():
    """Returns whether settings that are not given are to be chosen, by what was given: so all workers
    agree.

    Raises:
        UserError: --minutes is given, but they are not, or were not for the run that is resumed; or the
            images are no RGB.
    """
    chosen = FLAGS.recipe == AUTO
    if FLAGS.recipe is None and "dataset" in arguments.given():
        chosen = FLAGS.dataset in OWN and not arguments.files()
    if chosen and FLAGS.channels and not _resumes():
        raise UserError(
            f"--channels={FLAGS.channels}: the rules by which settings are chosen are for RGB; try "
            "--recipe=v2, or --recipe=none with settings of your own"
        )
    if FLAGS.minutes and _resumes():
        _check_minutes()
    elif FLAGS.minutes and not chosen:
        raise UserError(
            f"--minutes={FLAGS.minutes:g} does nothing without --recipe={AUTO}: add it, or drop "
            "--minutes"
        )
    return chosen


def choose(source, strategy, worker, workers):
    """Returns (`Pretraining` settings, the `Recipe` that they are from, if they were chosen here).

    The chief chooses, or has what the run was begun with, and tells the other workers.

    Args:
        source: the `Source`.
        strategy: of the run.
        worker, workers: index of this worker, and how many there are.

    Raises:
        UserError: see `recipe.choose`.
    """
    chosen, values = None, {}
    if worker == 0 and not _resumes():
        minutes = FLAGS.minutes or recipe.MINUTES
        print(f"--recipe={AUTO}: looking at the pictures, and trying some steps", flush=True)
        chosen = recipe.choose(train_flags.read, _given(), source, strategy, minutes, workers)
        values = chosen.values
    if workers > 1:
        own = texts_of(train_flags.read(values).saved) if worker == 0 else None
        values = json.loads(text_of_chief(strategy, json.dumps(own)))
    return train_flags.read(values), chosen


def _resumes():
    return bool(FLAGS.model_dir) and os.path.exists(os.path.join(FLAGS.model_dir, FLAGS_FILE))


def _given():
    """Returns name → value of the settings that were given."""
    return {name: FLAGS[name].value for name in recipe.DECLARED.keys() & arguments.given()}


def _check_minutes():
    path = os.path.join(FLAGS.model_dir, recipe.RECIPE_FILE)
    known = read_json(path)["minutes"] if os.path.exists(path) else None
    if known != FLAGS.minutes:
        begun = "with settings of its own" if known is None else f"with --minutes={known:g}"
        raise UserError(
            f"--minutes={FLAGS.minutes:g}: the run in --model_dir={FLAGS.model_dir} was begun {begun}; "
            "drop --minutes to resume it, or use another --model_dir"
        )
