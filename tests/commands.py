"""Commands called in this process, and what they leave in a run's folder."""

import json

from absl import flags

from mocotf.training.checkpoints import path_of
from mocotf.training.checkpoints import read
from mocotf.training.checkpoints import steps_in


def set_flags(*arguments):
    """Gives the flags the values in a command line, and their defaults where it has none."""
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    flags.FLAGS(["command", *arguments])


def results(folder, name="results.json"):
    """Returns the content of a JSON file in a folder."""
    return json.loads((folder / name).read_text())


def variables(folder, step=None):
    """Returns name → array of a run's checkpoint, the newest if no step is given."""
    checkpoints = str(folder / "checkpoints")
    return read(path_of(checkpoints, step or steps_in(checkpoints)[-1]))
