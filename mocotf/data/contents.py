"""What images are, byte for byte: a digest of each file, listed as sha256sum lists them."""

import collections
import concurrent.futures
import functools
import hashlib
import itertools
import logging

from mocotf import terminal
from mocotf.data.sources.records import READERS
from mocotf.errors import UserError
from mocotf.files import printable

log = logging.getLogger(__name__)

DIGITS = 64  # of a digest
UNREADABLE = "0" * DIGITS  # in place of the digest of what cannot be read
AT_ONCE = 64 * READERS  # files that wait for a thread
NAMED = 3


class Contents:
    """The SHA-256 of each file of a source, in its order.

    Args:
        text: bytes, a line each, `digest  name`, which `sha256sum -c` checks: where a name has a
            backslash or a line break, these are escaped, and the line begins with a backslash.
    """

    def __init__(self, text):
        self.text = text

    @functools.cached_property
    def digest(self):
        """A text that stands for all contents in their order, whatever they are called."""
        digests = b"".join(digest for digest, _ in self._lines())
        return hashlib.sha256(digests).hexdigest()[:16]

    def changes_to(self, other):
        """Returns what has become of the files in the `Contents` of a later time, a phrase; "" where
        nothing has."""
        before, now = self._by_name(), other._by_name()
        changed = [name for name in before if name in now and before[name] != now[name]]
        gone = [name for name in before if name not in now]
        new = [name for name in now if name not in before]
        parts = [f"{len(changed):,} of {len(before):,} files changed{_named(changed)}"] * bool(changed)
        parts += [_are(gone, "gone")] * bool(gone) + [_are(new, "new")] * bool(new)
        if not parts and self.digest != other.digest:
            parts = ["the same files in another order"]
        return "; ".join(parts)

    def _lines(self):
        """Yields (digest, name) of each line, bytes; the name as it stands there."""
        for line in self.text.splitlines():
            line = line.removeprefix(b"\\")
            yield line[:DIGITS], line[DIGITS + 2 :]

    def _by_name(self):
        """Returns name → digests: files of several places may have one name."""
        found = collections.defaultdict(list)
        for digest, name in self._lines():
            found[name].append(digest)
        return found


def read_contents(source, tell=True):
    """Returns the `Contents` of a `Source`, of which every byte is read, by several threads.

    What cannot be read has a digest of zeros.

    Args:
        tell: print how far it is, if it takes long.

    Raises:
        UserError: an address does not answer.
    """
    count, files = source.contents()
    lines, unreadable = bytearray(), []
    progress = terminal.phase("reading all content", count, "files", shown=tell)
    with progress as progress, concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        while some := list(itertools.islice(files, AT_ONCE)):
            for (name, _), digest in zip(some, pool.map(_digest, some), strict=True):
                lines += _line(name, digest)
                unreadable += [name] * (digest == UNREADABLE)
                progress.advance()
    if unreadable:
        log.warning(
            "--verify_data=content: %d of %d files cannot be read%s",
            len(unreadable),
            count,
            _named(unreadable),
        )
    return Contents(bytes(lines))


def _digest(file):
    """Returns the digest of a (name, function that yields its content)."""
    found = hashlib.sha256()
    try:
        for piece in file[1]():
            found.update(piece)
    except UserError:
        raise
    except Exception:  # each place has its own; such an image is a bad one, as long as it is so
        return UNREADABLE
    return found.hexdigest()


def _line(name, digest):
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return b"\\" * (escaped != name) + digest.encode() + b"  " + escaped + b"\n"


def _are(names, what):
    return f"{len(names):,} {'is' if len(names) == 1 else 'are'} {what}{_named(names)}"


def _named(names):
    more = ", …" if len(names) > NAMED else ""
    return f": {', '.join(map(printable, names[:NAMED]))}{more}"
