"""Zip and tar archives, whose files are read where they lie in them."""

import collections
import os
import tarfile
import weakref
import zipfile
import zlib

from mocotf.data.places.members import Members
from mocotf.data.places.tree import Found
from mocotf.errors import UserError
from mocotf.tables import counted

ENDINGS = (".zip", ".tar")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
MOST = 2**30  # bytes of a file in an archive: a few can be made to stand for any number
LABEL = b".cls"  # ending of WebDataset's files of labels
LOCAL_HEADER = 30  # bytes before a file's name in a zip


class Archive(Members):
    """A zip or tar archive on this machine.

    As WebDataset has it, a picture's label may be in the file of the same name, up to its first dot,
    and the ending `.cls`.

    Args:
        path: its.

    Raises:
        UserError: it is no whole archive. A tar that is cut short is used up to there, and `damaged`.
    """

    archive = True

    def __init__(self, path):
        scan = _scan_zip if path.lower().endswith(".zip") else _scan_tar
        self._is_zip = scan is _scan_zip
        spots, refused = {}, collections.Counter()
        try:
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            for name, spot, problem in scan(path):
                name = name.removeprefix(b"./").replace(b"\\", b"/")
                if problem or _climbs(name):
                    refused[problem or "named outside the archive"] += 1
                else:
                    spots[name] = spot  # of two of a name the later counts
        except _CutShortError as error:
            self.damaged = f"{path}: {error}"
        except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: {error}; expected a whole zip or tar archive") from error
        try:
            found = _with_labels(spots, self.read)
        except (EOFError, zlib.error) as error:
            raise UserError(f"{path}: a label: {error}; expected a whole zip or tar archive") from error
        super().__init__(path, found, refused)

    def size(self, path, spot):
        return spot[1]

    def read(self, path, spot):
        begin, size, is_packed = spot
        if self._is_zip:  # the lengths of name and extras, which the directory has otherwise
            header = os.pread(self._file, LOCAL_HEADER, begin)
            lengths = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
            begin += LOCAL_HEADER + sum(lengths)
        content = os.pread(self._file, size, begin)
        if len(content) < size:
            raise EOFError(f"{os.fsdecode(path)}: cut short")
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, MOST) if is_packed else content


class _CutShortError(Exception):
    """A tar cannot be read further, before its end."""


def _scan_zip(path):
    """Yields (name, spot, why it cannot be read or "") of the files in a zip."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            packed, problem = info.compress_type == zipfile.ZIP_DEFLATED, ""
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                problem = "encrypted"
            elif not packed and info.compress_type != zipfile.ZIP_STORED:
                problem = "packed by other means than deflate"
            elif max(info.file_size, info.compress_size) > MOST:
                problem = "larger than 1 GiB"
            name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
            yield name, (info.header_offset, info.compress_size, int(packed)), problem


def _scan_tar(path):
    """Yields what `_scan_zip` does, of a tar."""
    end = os.path.getsize(path)
    count = 0
    with tarfile.open(path, "r:", errors="surrogateescape") as archive:
        while True:
            try:
                member = archive.next()
            except tarfile.ReadError as error:
                raise _CutShortError(f"cut short after {counted(count, 'file')}") from error
            archive.members.clear()  # it would keep them all
            if member is None:
                archive.fileobj.seek(archive.offset)  # tarfile takes a damaged header for the end
                if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    raise _CutShortError(f"damaged after {counted(count, 'file')}")
                return
            if not member.isreg() or member.issparse():
                continue
            if member.offset_data + member.size > end:
                raise _CutShortError(f"cut short after {counted(count, 'file')}")
            count += 1
            problem = "larger than 1 GiB" if member.size > MOST else ""
            yield os.fsencode(member.name), (member.offset_data, member.size, 0), problem


def _with_labels(spots, read):
    """Returns name → `Found` of name → spot, with labels where there are such files."""
    labels = {_key(name): spot for name, spot in spots.items() if name.endswith(LABEL)}
    if labels:
        labels = {key: read(key + LABEL, spot).strip() for key, spot in labels.items()}
        spots = {name: spot for name, spot in spots.items() if not name.endswith(LABEL)}
    none = b"" if labels else None
    return {name: Found(name, spot, labels.get(_key(name), none)) for name, spot in spots.items()}


def _key(name):
    """Returns what the files of one sample have in common: the path up to the last name's first dot."""
    folder, slash, last = name.rpartition(b"/")
    return folder + slash + last.partition(b".")[0]


def _climbs(name):
    parts = name.split(b"/")
    return b".." in parts or not parts[0] or parts[0].endswith(b":")
