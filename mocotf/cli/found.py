"""What a command that reads pictures says first: which it found."""

from mocotf.data.sources.open import open_source


def open_and_tell(data, pairs=None, *, tell=True):
    """Returns the `Source` that `DataSettings` describe, and prints what is in it.

    Args:
        data: `DataSettings`.
        pairs: `PairSettings` of pre-training.
        tell: else nothing is printed: of several workers one says it.

    Raises:
        UserError: see `open_source`.
    """
    source = open_source(data, pairs)
    if tell:
        say(data, source)
    return source


def say(data, images):
    """Prints what is in the images, which have `found()`, that `DataSettings` name."""
    print(f"{data.files or data.data_dir or data.dataset}: {images.found()}", flush=True)
