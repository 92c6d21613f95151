"""The flags of the mechanisms, of `python -m mocotf.train`."""

from absl import flags

from mocotf.cli import arguments
from mocotf.cli import settings_flags
from mocotf.moco.config import MECHANISMS
from mocotf.moco.config import Config
from mocotf.moco.config import MechanismSettings

SETTINGS = (MechanismSettings, *(mechanism.SETTINGS for mechanism in MECHANISMS.values()))
settings_flags.define(*SETTINGS)


def read_config():
    """Returns the `Config` that the flags give.

    Raises:
        UserError: they contradict each other, or one that was given is of another mechanism.
    """
    return Config.of(flags.FLAGS.flag_values_dict(), arguments.given())
