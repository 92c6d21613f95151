"""flags.cfg: the flags of a run, a line each, as a flag file has them; their digest in a comment."""

import io
import os
import re

from mocotf.errors import UserError
from mocotf.files import atomic_write
from mocotf.files import locked_folder
from mocotf.files import read_file
from mocotf.json_files import digest

FLAGS_FILE = "flags.cfg"
LINE = re.compile(r"--?\w+(=.*)?")
DIGEST = "# digest: "  # begins the line of it: the first, for one cut short to have it


def is_run(path):
    """Returns whether a run was begun in a folder."""
    return os.path.exists(os.path.join(path, FLAGS_FILE))


def flag_lines(path):
    """Returns (number, line) of each line of a flag file that is no comment.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
    """
    # Windows' editor saves a byte order mark.
    with open(path, encoding="utf-8-sig") as file:
        return _numbered(file.read())


def write_flags(path, texts, comments=()):
    """Writes a flags.cfg of name → text; comments are lines before them, each begins with #."""
    lines = [f"--{name}={text}" for name, text in sorted(texts.items())]
    atomic_write(path, "\n".join([_digest_line(lines), *comments, *lines, ""]))


def read_flags(path):
    """Returns the name → text of a flags.cfg.

    Raises:
        UserError: it cannot be read, or is not what was written; without a digest, as earlier releases
            wrote it, any flags are.
    """
    text = _text(path)
    lines = [line for _, line in _numbered(text)]
    marked = [line for line in text.splitlines() if line.startswith(DIGEST)]
    if marked != [_digest_line(lines)] if marked else not lines:
        raise UserError(
            f"{path}: is damaged, or was changed since it was written; restore it; or, if you have "
            "changed it, give --accept_changed_flags to the command that began the run, or remove the "
            f'line "{DIGEST}…"'
        )
    for number, line in _numbered(text):
        if not LINE.fullmatch(line):
            raise UserError(f"{path}, line {number}: {line!r}: expected --NAME=VALUE; restore it")
    pairs = (line.lstrip("-").partition("=") for line in lines)
    return {name: text for name, _, text in pairs}


def accept_flags(path):
    """Gives a flags.cfg the digest of what it says now; its comments stay.

    Raises:
        UserError: it cannot be read, or not be written.
    """
    with locked_folder(os.path.dirname(path)):  # against other workers, which do the same
        text = _text(path)
        kept = [line for line in text.splitlines() if not line.startswith(DIGEST)]
        lines = [line for _, line in _numbered(text)]
        atomic_write(path, "\n".join([_digest_line(lines), *kept, ""]))


def _digest_line(lines):
    return DIGEST + digest("sha256", "\n".join(lines).encode())


def _text(path):
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is damaged: it is no UTF-8 ({error}); restore it") from error


def _numbered(text):
    lines = io.StringIO(text, newline=None)  # ends of lines as of a file
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    return [(n, line) for n, line in numbered if line and not line.startswith(("#", "//"))]
