"""Flags of every command that trains: how long, how fast, where to."""

from mocotf.cli import settings_flags
from mocotf.optim.settings import OptimisationSettings
from mocotf.training.settings import DeviceSettings
from mocotf.training.settings import RunSettings
from mocotf.training.settings import TrainingSettings

SETTINGS = (OptimisationSettings, RunSettings, DeviceSettings)
settings_flags.define(*SETTINGS)

# Flags that change what is shown or kept, not what is computed.
NEUTRAL = settings_flags.neutral(*SETTINGS)
# Flags that say where a run is, not what it is; they are not saved.
PLACES = {"model_dir"}


def read():
    """Returns the `TrainingSettings`.

    Raises:
        UserError: they contradict each other.
    """
    return TrainingSettings(*map(settings_flags.read, SETTINGS))
