"""Blocks that programs write into documents, between markers in prose written by hand."""

import re

from mocotf.errors import UserError
from mocotf.files import atomic_write

BEGIN, END = "<!-- {}: {} -->", "<!-- end of {} -->"


def place(program, name, text=""):
    """Returns the block of a name, with a text between its markers."""
    return f"{BEGIN.format(program, name)}\n{text}\n{END.format(name)}"


def check(path, program, names):
    """Checks a document against what is to be written into it.

    Args:
        path: of the document, --markdown's.
        program: that writes, as the markers have it.
        names: of the blocks.

    Raises:
        UserError: it is not there, or lacks the markers of one of `names`.
    """
    text = _read(path)
    for name in names:
        if not _pattern(program, name).search(text):
            raise UserError(
                f"--markdown={path}: no place for {name}; expected the lines "
                f"{BEGIN.format(program, name)} and {END.format(name)}; add them where it is to be"
            )


def write(path, program, blocks):
    """Writes name → text into a document that `check` has passed."""
    text = _read(path)
    for name, block in blocks.items():
        whole = place(program, name, block)
        text = _pattern(program, name).sub(lambda _, whole=whole: whole, text)
    atomic_write(path, text)


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise UserError(
            f"--markdown={path}: {error.strerror}; expected a document with markers, as in docs/"
        ) from error


def _pattern(program, name):
    return re.compile(
        re.escape(BEGIN.format(program, name)) + ".*?" + re.escape(END.format(name)), re.S
    )
