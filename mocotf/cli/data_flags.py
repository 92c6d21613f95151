"""Flags that say where images come from, of commands that go on from a run."""

import dataclasses

from mocotf.cli import arguments
from mocotf.cli import settings_flags
from mocotf.data.settings import DataSettings
from mocotf.settings import settings_of

settings_flags.define(DataSettings)

PLACE = ("data_dir", "files")  # of which one by itself names another
NAMES = ("dataset", *PLACE, "num_images", "image_column", "label_column")


def read_for(run):
    """Returns the `DataSettings` that the flags give; what they leave open is as a `SavedRun` has it,
    where images are only if they name no other data set."""
    given, declared = arguments.given(), settings_of(DataSettings)
    settings = settings_flags.values(DataSettings)
    if "upright" not in given:
        settings = dataclasses.replace(settings, upright=run.upright)
    if "dataset" not in given:
        known = {*given, *(PLACE if given & {*PLACE} else ())}
        texts = {name: run.flags.get(name) for name in NAMES if name not in known}
        saved = {n: None if text is None else declared[n].parse(text) for n, text in texts.items()}
        settings = dataclasses.replace(settings, **saved)
    settings.check(given)
    return settings
