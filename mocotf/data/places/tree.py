"""What every place of pictures offers, and which of its files are none."""

import abc
import collections
import os
from typing import NamedTuple

from mocotf.data.views.formats import endings
from mocotf.data.views.formats import format_of
from mocotf.data.views.formats import what_reads
from mocotf.files import printable

# What lies beside pictures, by the million perhaps: not worth a look into it.
NEVER = (
    *(b".txt", b".json", b".jsonl", b".xml", b".csv", b".tsv", b".md", b".html", b".yaml", b".yml"),
    *(b".log", b".py", b".npz", b".mat", b".pkl", b".pt", b".pth", b".h5", b".parquet"),
    *(b".zip", b".tar", b".gz", b".db", b".mp4", b".avi", b".mov", b".pdf", b".ini", b".cls"),
    # What a look takes for TIFF: cameras' raw files, for their thumbnails, and whole slides; and a
    # table of contents that is DICOM.
    *(b".dng", b".nef", b".nrw", b".cr2", b".arw", b".sr2", b".pef", b".srw", b".3fr", b".iiq"),
    *(b".svs", b".ndpi", b".scn", b"dicomdir"),
)
# Of systems, which hold small copies of pictures; beside what begins with a dot.
SYSTEM = (b"__macosx", b"@eadir", b"$recycle.bin", b"system volume information")
NONE = "without an ending"


class Found(NamedTuple):
    """A picture that was found.

    Attributes:
        name: its path below the folder that was looked through, bytes, as Unix has them: they need not
            be UTF-8.
        spot: where in the place its bytes are, integers; none where the path says it.
        label: name of its class, bytes, empty where it has none; None where its first folder is that.
        group: name of what it shows, a video or a patient, bytes; empty without.
    """

    name: bytes
    spot: tuple[int, ...] = ()
    label: bytes | None = None
    group: bytes = b""


class LeftOut:
    """What was met and is no picture to be read.

    Attributes:
        hidden: files and folders whose names begin with a dot, and folders of systems.
        embedded: images whose vectors are known.
        others: ending, in lower case → files of no format that is read.
        refused: why → files of an archive that cannot be read.
    """

    def __init__(self):
        self.hidden = self.embedded = 0
        self.others = collections.Counter()
        self.refused = collections.Counter()

    def __str__(self):
        kinds = ", ".join(
            f"{n:,} {printable(ending)}{what_reads(ending)}" for ending, n in self.others.most_common(3)
        )
        more = ", …" if len(self.others) > 3 else ""
        others = f"{self.others.total():,} that are no pictures to be read ({kinds}{more})"
        parts = [f"{self.embedded:,} embedded before"] * bool(self.embedded)
        parts += [f"{self.hidden:,} hidden"] * bool(self.hidden) + [others] * bool(self.others)
        parts += [f"{n:,} {why}" for why, n in self.refused.most_common()]
        return f"left out: {', '.join(parts)}" if parts else ""


class Tree(abc.ABC):
    """Files with names, in folders.

    Attributes:
        name: for messages.
        plain: whether TensorFlow's own `read_file` reads its files, by their paths.
        local: whether they are files of this machine, which can be looked at by their paths.
        archive: whether a `Found` has to say where its bytes are.
        relative: whether all names are to follow the root; else some are whole paths, or addresses.
        damaged: what is wrong with it, where it can be read in part; "" where all is well.
    """

    name: str
    plain: bool = False
    local: bool = False
    archive: bool = False
    relative: bool = True
    damaged: str = ""

    @abc.abstractmethod
    def entries(self, folder):
        """Returns the names in a folder that are not hidden, sorted: (of folders, of what is none).

        Args:
            folder: its path, text; "" for the uppermost.
        """

    @abc.abstractmethod
    def pictures(self, folder, left_out):
        """Yields a `Found` for each picture under a folder: of each folder first its own, by name, then
        those of its folders, by theirs.

        A file whose name ends as pictures' do is one; of others the first bytes decide. What is hidden,
        and folders of systems, are left out.

        Args:
            folder: its path, text; "" for the uppermost.
            left_out: a `LeftOut` that takes count.
        """

    def root(self, folder):
        """Returns what the names of pictures under a folder follow in their paths, bytes."""
        return os.path.join(os.fsencode(self.name), os.fsencode(folder), b"")

    def size(self, path, spot):
        """Returns the bytes that a picture takes; -1 where that is not known, or it is not there."""
        del spot
        try:
            return os.stat(path).st_size if self.local else -1
        except OSError:
            return -1

    @abc.abstractmethod
    def read(self, path, spot):
        """Returns the bytes of a picture; any exception means that it cannot be read.

        Args:
            path: its root and its name, bytes.
            spot: of its `Found`.
        """


def place_of(name):
    """Returns the key by which names, bytes or text, sort as in a walk: a folder's files come first."""
    *folders, own = os.fsencode(name).replace(os.fsencode(os.sep), b"/").split(b"/")
    return [*((1, folder) for folder in folders), (0, own)]


def is_hidden(name):
    """Returns whether a file or folder of this name, bytes or text, is none of the user's pictures."""
    name = os.fsencode(name)
    return name.startswith(b".") or name.lower() in SYSTEM


def is_picture(name, head, left_out):
    """Returns whether a file is a picture to be read, and takes count of it in a `LeftOut` if not.

    Args:
        name: its, bytes.
        head: called without arguments for its first bytes, where the name does not decide.
    """
    lower = name.lower()
    if lower.endswith(endings()) or (not lower.endswith(NEVER) and format_of(head())):
        return True
    left_out.others[os.fsdecode(os.path.splitext(lower)[1]) or NONE] += 1
    return False
