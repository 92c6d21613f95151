"""Flags that say where images come from, of commands that go on from a run."""

import dataclasses

from mocotf.cli import arguments
from mocotf.cli import settings_flags
from mocotf.data.settings import DataSettings
from mocotf.settings import settings_of

settings_flags.define(DataSettings)

NAMES = ("dataset", "data_dir", "num_images")


def read_for(run):
    """Returns the `DataSettings` that the flags give; what they leave open is as a `SavedRun` has it,
    where images are only if they name no other data set."""
    given, declared = arguments.given(), settings_of(DataSettings)
    settings = settings_flags.values(DataSettings)
    if "upright" not in given:
        settings = dataclasses.replace(settings, upright=run.upright)
    if "dataset" not in given:
        texts = {name: run.flags.get(name) for name in NAMES if name not in given}
        saved = {n: None if text is None else declared[n].parse(text) for n, text in texts.items()}
        settings = dataclasses.replace(settings, **saved)
    settings.check(given)
    return settings
