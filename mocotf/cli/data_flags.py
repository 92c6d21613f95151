"""Flags that say where images come from, of all commands that read some."""

import dataclasses

from absl import flags

from mocotf.cli import arguments
from mocotf.cli import settings_flags
from mocotf.data.settings import DataSettings
from mocotf.data.sources import open_source
from mocotf.settings import settings_of

FLAGS = flags.FLAGS
settings_flags.define(DataSettings)

NAMES = ("dataset", "data_dir", "num_images")


def make_source():
    """Returns the `Source` that the flags describe."""
    return source_from(settings_flags.read(DataSettings))


def source_of(run):
    """Returns the `Source` that the flags describe; what they leave open is as a `SavedRun` has it,
    unless they name another data set."""
    return source_from(settings_from(run))


def settings_from(run):
    """Returns the `DataSettings` of `source_of`."""
    given, declared = arguments.given(), settings_of(DataSettings)
    settings = DataSettings(**{name: FLAGS[name].value for name in declared})
    if "dataset" not in given:
        texts = {name: run.flags.get(name) for name in NAMES if name not in given}
        saved = {n: None if text is None else declared[n].parse(text) for n, text in texts.items()}
        settings = dataclasses.replace(settings, **saved)
    settings.check(given)
    return settings


def source_from(settings):
    """Returns the `Source` that `DataSettings` describe."""
    return open_source(settings.dataset, settings.data_dir, settings.num_images)
