"""The flags of a pre-training run, named after the original's, and what they give."""

from mocotf.api.recipe import pretraining_of
from mocotf.cli import settings_flags
from mocotf.pretraining.settings import ALL

settings_flags.define(*ALL)


def read(values=None):
    """Returns the `Pretraining` settings that the flags give; `values` as `pretraining_of` has them."""
    return pretraining_of(settings_flags.asked(), values)
