"""Values of flags: as text, as numbers, changed or not."""

import math

from absl import flags

from mocotf.cli import arguments
from mocotf.errors import UserError

FLAGS = flags.FLAGS


def resolved(module, places):
    """Returns name → text of every key flag of a module, defaults included.

    Args:
        module: its name.
        places: names of flags to leave out: they say where a run is, not what it is.
    """
    own = FLAGS.get_key_flags_for_module(module)
    return {f.name: _text(f) for f in own if f.name not in places and f.value is not None}


def _text(flag):
    if isinstance(flag.value, bool):  # which absl would write --name or --noname
        return str(flag.value).lower()
    return flag.serialize().partition("=")[2]


def changed(name):
    """Returns whether a flag was given, and another value than its default."""
    # Given is not enough: a saved flags.cfg names every flag.
    return name in arguments.given() and FLAGS[name].value != FLAGS[name].default


def check_finite(*names):
    """Holds flags that are numbers against infinity.

    Raises:
        UserError: one is infinite, or none.
    """
    for name in names:
        if not math.isfinite(FLAGS[name].value):
            raise UserError(f"--{name}={FLAGS[name].value}: expected a finite number")


def numbers(name, count=None):
    """Returns the numbers of list flag `name`; None where it is not set.

    Args:
        count: how many are expected; None for any.

    Raises:
        UserError: not numbers, or not as many as expected.
    """
    texts = FLAGS[name].value
    if texts is None:
        return None
    try:
        values = tuple(float(text) for text in texts)
    except ValueError:
        values = ()
    if not all(map(math.isfinite, values)):
        values = ()
    if not values or (count and len(values) != count):
        raise UserError(
            f"--{name}={','.join(texts)}: expected {count or 'some'} numbers separated by commas"
        )
    return values
