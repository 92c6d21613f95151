"""The flags of a pre-training run, named after the original's, and what they give."""

from absl import flags

from mocotf.cli import arguments
from mocotf.cli import settings_flags
from mocotf.pretraining.settings import ALL
from mocotf.pretraining.settings import Pretraining

settings_flags.define(*ALL)


def read(values=None):
    """Returns the `Pretraining` settings that the flags give.

    Args:
        values: name → value or text, as if they were given.

    Raises:
        UserError: they contradict each other, or one that was given is of another mechanism.
    """
    values = values or {}
    given = arguments.given() | values.keys()
    return Pretraining.of(flags.FLAGS.flag_values_dict() | values, given)
