"""Files that are there whole or not at all, locks, and text that a terminal may get."""

import contextlib
import errno
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
PathLike = str | os.PathLike[str]
FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))  # what a full disk says


def path_of(path):
    """Returns a path as a text, with what ~ stands for.

    Raises:
        UserError: it is none.
    """
    try:
        return os.path.expanduser(os.fspath(path))
    except TypeError as error:
        raise UserError(f"{path!r}: expected a path, a text") from error


def atomic_write(path, content):
    """Writes a file, text or bytes, so that no reader ever sees a part of it; in the place of a link,
    too, and never to where one points.

    Raises:
        UserError: it cannot be written; what was there before still is.
    """
    partial = f"{path}.partial"
    try:
        remove(partial)
        with open(partial, "xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync(os.path.dirname(path) or ".")
    except OSError as error:
        with contextlib.suppress(OSError):
            remove(partial)
        raise cannot_write(path, error) from error


def cannot_write(path, error):
    """Returns the `UserError` of what cannot be written, by the error of a system or a library."""
    full = next((words for words in FULL if words in str(error)), None)
    what = full or getattr(error, "strerror", None) or first_line(error)
    other = str(getattr(error, "filename", None) or path)
    if not other.startswith(os.path.splitext(path)[0]):  # what it was to be made of, for one
        what = f"{what}: {other}"
    instead = "make room, then the same command again" if full else "expected a place that can be"
    return UserError(f"{path}: cannot be written: {what}; {instead}")


def open_to_append(path):
    """Opens a file, made where it is not there, for `append`.

    Raises:
        UserError: it cannot be written, or is a link.
    """
    if os.path.islink(path):  # whose file it is, nobody here knows
        raise UserError(f"{path}: is a link; expected a file of this folder; remove it")
    try:
        return open(path, "ab", buffering=0)
    except OSError as error:
        raise cannot_write(path, error) from error


def append(file, content):
    """Appends bytes to what `open_to_append` has opened.

    Raises:
        UserError: not all of it could be written.
    """
    left = memoryview(content)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise cannot_write(file.name, error) from error


def make_room(path, size):
    """Makes a file of so many bytes to write to in place, for which a disk that is full has no error.

    Raises:
        UserError: it cannot be written, or there is no room for it.
    """
    try:
        remove(path)
        with open(path, "xb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        remove(path)
        raise cannot_write(path, error) from error


def make_folder(path):
    """Makes a folder where there is none.

    Raises:
        UserError: it cannot be made, or is a link.
    """
    if os.path.islink(path):
        raise UserError(f"{path}: is a link; expected a folder of its own; remove it")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_file(path):
    """Returns the bytes of a file of state.

    Raises:
        UserError: it cannot be read, or is a folder or the like.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe would never end
            raise UserError(f"{path}: is no file; expected one; remove it")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; expected a file") from error


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
        remove(partial)
        yield partial
        _bring_to_disk(partial)
        os.replace(partial, path)
        _sync(folder)
    except (OSError, tf.errors.OpError) as error:
        raise cannot_write(path, error) from error
    except RuntimeError as error:  # as PyTorch has it, which was handling the other
        if isinstance(error.__context__, OSError):
            raise cannot_write(path, error.__context__) from error
        raise
    finally:
        remove(partial)


def _bring_to_disk(path):
    """Makes sure that a file, or a folder with all in it, outlasts a loss of power."""
    if not os.path.isdir(path):
        _sync(path)
        return
    for parent, _, names in os.walk(path):
        for name in names:
            _sync(os.path.join(parent, name))
        _sync(parent)


def _sync(path):
    if os.path.isdir(path):  # which not every system opens, and not every file system brings to disk
        with contextlib.suppress(OSError):
            _sync_as(path, os.O_RDONLY)
    else:
        _sync_as(path, os.O_RDWR)  # Windows asks for leave to write


def _sync_as(path, how):
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path):
    """Removes a file, a folder with all in it, or a link, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def lock(path, busy):
    """Locks a file, made where it is not there, against other processes until it is closed.

    Where files cannot be locked, a warning says so.

    Returns:
        The file, open.

    Raises:
        UserError: another process has locked it, `busy` is the message; or as `open_to_append`.
    """
    file = open_to_append(path)
    try:
        if fcntl:
            _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
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
        _flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0), folder)
        yield
    except BlockingIOError as error:
        raise UserError(busy) from error
    finally:
        os.close(handle)


def _flock(handle, how, path):
    """Locks an open file, where its file system has locks."""
    try:
        fcntl.flock(handle, how)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
            raise
        _warn_unlocked(path)


def _warn_unlocked(path):
    log.warning("%s: cannot be locked here; let no other process write to it", path)


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
