"""Where images come from, of what goes on from a run."""

import dataclasses

from mocotf import terminal
from mocotf.data.settings import DataSettings
from mocotf.data.sources.open import open_source
from mocotf.files import printable
from mocotf.moco.saved_run import READING
from mocotf.settings import settings_of

PLACE = ("data_dir", "files")  # of which one by itself names another
NAMES = ("dataset", *PLACE, "num_images", "image_column", "label_column")


def data_of(asked, run):
    """Returns the `DataSettings` of `Asked`; what they leave open is as a `SavedRun` has it, where
    images are only if they name no other data set."""
    given, declared = asked.given, settings_of(DataSettings)
    settings = asked.unchecked(DataSettings)
    as_run = {name: getattr(run, name) for name in READING if name not in given}
    settings = dataclasses.replace(settings, **as_run)
    if "dataset" not in given:
        known = {*given, *(PLACE if given & {*PLACE} else ())}
        texts = {name: run.flags.get(name) for name in NAMES if name not in known}
        saved = {n: None if text is None else declared[n].parse(text) for n, text in texts.items()}
        settings = dataclasses.replace(settings, **saved)
    settings.check(given)
    return settings


def open_and_tell(data, pairs=None, *, tell=True):
    """Returns the `Source` that `DataSettings` describe, and prints what is in it.

    Args:
        data: `DataSettings`.
        pairs: `PairSettings` of pre-training.
        tell: else nothing is printed: of several workers one says it.

    Raises:
        UserError: see `open_source`.
    """
    with terminal.phase(f"reading {printable(_place(data))}", shown=tell):
        source = open_source(data, pairs)
        if tell:
            say(data, source)
    return source


def say(data, images):
    """Prints what is in the images, which have `found()`, that `DataSettings` name."""
    print(f"{_place(data)}: {images.found()}", flush=True)


def _place(data):
    return data.files or data.data_dir or data.dataset
