"""Files that are there whole or not at all, locks, and text that a terminal may get."""

import contextlib
import json
import logging
import os
import re
import shutil

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.errors import first_line

# Of the two that lock a file, a system has one: Unix the first, Windows the other.
try:
    import fcntl
except ImportError:
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

log = logging.getLogger(__name__)

# Controls of two sets, breaks of lines and paragraphs, marks of direction, and halves of characters.
ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
ESCAPE = re.compile(rb"\\(?:[nrt]|x([0-9a-f]{2})|u([0-9a-f]{4}))")


def atomic_write(path, content):
    """Writes a file, text or bytes, so that no reader ever sees a part of it; in the place of a link,
    too, and never to where one points."""
    partial = f"{path}.partial"
    with contextlib.suppress(FileNotFoundError):
        os.remove(partial)
    with open(partial, "xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path, value):
    """Writes a dictionary as `atomic_write` does, for people and programs to read."""
    atomic_write(path, json.dumps(value, indent=2) + "\n")


def read_json(path):
    """Returns the dictionary in a JSON file; an empty one where there is no file.

    Raises:
        UserError: it holds something else.
    """
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path}: {error}; expected a JSON object; remove it, or write it anew"
        ) from error


def update_json(path, values):
    """Writes name → value into the dictionary of a JSON file that several processes add to: none of
    them loses what another has written.

    Raises:
        UserError: it holds something else.
    """
    with locked_folder(os.path.dirname(path) or "."):
        write_json(path, read_json(path) | values)


@contextlib.contextmanager
def atomic_path(path):
    """Gives a path with the same ending to write a file or a folder to; it takes the place of `path`
    if all went well, and else is removed.

    Raises:
        UserError: it cannot be written.
    """
    stem, ending = os.path.splitext(path)
    partial = f"{stem}.partial{ending}"
    folder = os.path.dirname(path) or "."
    if not os.access(folder, os.W_OK):
        raise UserError(f"{path}: {folder} is no folder that can be written; expected one")
    try:
        _remove(partial)
        yield partial
        os.replace(partial, path)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"{path}: cannot be written: {first_line(error)}; expected a folder that can be written, "
            "with room"
        ) from error
    finally:
        _remove(partial)


def _remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def lock(path, busy):
    """Locks a file, made where it is not there, against other processes until it is closed.

    Where files cannot be locked, a warning says so.

    Returns:
        The file, open.

    Raises:
        OSError: it cannot be opened.
        UserError: another process has locked it, `busy` is the message; or it is a link.
    """
    if os.path.islink(path):  # whose file it is, nobody here knows
        raise UserError(f"{path}: is a link; expected a file of this folder; remove it")
    file = open(path, "a")  # noqa: SIM115  (open for as long as it is locked)
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # the first byte, there or not
        else:
            _warn_unlocked(path)
    except (BlockingIOError, PermissionError) as error:  # as fcntl has it, and msvcrt
        file.close()
        raise UserError(busy) from error
    return file


@contextlib.contextmanager
def locked_folder(folder, busy=None):
    """Locks a folder against other processes meanwhile, as `lock` does a file; only Unix can.

    Args:
        busy: message where another process has locked it; None: wait for that.

    Raises:
        OSError: it cannot be opened.
        UserError: another process has locked it.
    """
    if not fcntl:
        _warn_unlocked(folder)
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        yield
    except BlockingIOError as error:
        raise UserError(busy) from error
    finally:
        os.close(handle)


def _warn_unlocked(path):
    log.warning("%s: cannot be locked on this system; let no other process write to it", path)


def printable(text, keep=""):
    """Returns a text, or the name of a file, str or bytes, as one line that does nothing to a terminal.

    Control characters, and those that turn the direction of what is beside them, are escaped as Python
    does it; so is, as \\xXX, what is no UTF-8.

    Args:
        keep: control characters that stay.
    """
    text = text.decode(errors="surrogateescape") if isinstance(text, bytes) else str(text)
    return ODD.sub(lambda odd: odd[0] if odd[0] in keep else _escaped(odd[0]), text)


def name_of(text):
    """Returns the name, bytes, that `printable` has made a text of; one that looks as if it had escapes
    is taken for another."""
    return ESCAPE.sub(_unescaped, os.fsencode(text))


class Terminal:
    """A stream of text through which no control characters pass, but for line breaks and tabs.

    Args:
        stream: the other.
    """

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        return self._stream.write(printable(text, keep="\n\t"))

    def __getattr__(self, name):
        return getattr(self._stream, name)


def _escaped(odd):
    code = ord(odd)
    if 0xDC80 <= code <= 0xDCFF:  # as Python has a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return SHORT.get(odd) or (f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}")


def _unescaped(found):
    if found[1]:
        return bytes.fromhex(found[1].decode())
    if found[2]:
        return chr(int(found[2], 16)).encode(errors="surrogatepass")
    return next(odd for odd, text in SHORT.items() if text == found[0].decode()).encode()
