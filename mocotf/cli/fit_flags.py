"""Flags of every command that trains: how long, how fast, where to."""

import dataclasses

from mocotf.cli import settings_flags
from mocotf.optim.settings import OptimisationSettings
from mocotf.training.fitting import Fitting
from mocotf.training.settings import DeviceSettings
from mocotf.training.settings import RunSettings

SETTINGS = (OptimisationSettings, RunSettings, DeviceSettings)
settings_flags.define(*SETTINGS)

# Flags that change what is shown or kept, not what is computed.
NEUTRAL = settings_flags.neutral(*SETTINGS)
# Flags that say where a run is, not what it is; they are not saved.
PLACES = {"model_dir"}


def read(**changes):
    """Returns the `Fitting` that the flags describe.

    Args:
        changes: of its `OptimisationSettings`.

    Raises:
        UserError: they contradict each other.
    """
    optimisation, *others = map(settings_flags.read, SETTINGS)
    return Fitting(dataclasses.replace(optimisation, **changes), *others)
