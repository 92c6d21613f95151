"""Flags of every command that trains: how long, how fast, where to."""

from absl import flags

from mocotf.cli import settings_flags
from mocotf.optim.settings import OptimisationSettings
from mocotf.training.settings import DeviceSettings
from mocotf.training.settings import RunSettings

FLAGS = flags.FLAGS
settings_flags.define(OptimisationSettings, RunSettings, DeviceSettings)

# Flags that change what is shown or kept, not what is computed.
NEUTRAL = settings_flags.neutral(OptimisationSettings, RunSettings, DeviceSettings)
# Flags that say where a run is, not what it is; they are not saved.
PLACES = {"model_dir"}


def check():
    """Holds the flags against each other.

    Raises:
        UserError: they contradict each other.
    """
    settings_flags.read(OptimisationSettings)
    settings_flags.read(DeviceSettings)


def host_options():
    """Returns what `configure_host` takes, by name."""
    own = ("intra_op_threads", "inter_op_threads", "device", "deterministic")
    return {name: FLAGS[name].value for name in own} | {"tf32": FLAGS.tf32 == "on"}


def make_schedule(steps_per_epoch):
    """Returns the learning rate's schedule, step → rate."""
    return settings_flags.read(OptimisationSettings).make_schedule(steps_per_epoch)
