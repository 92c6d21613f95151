"""Lists of pictures in a file."""

import csv
import functools
import os

from mocotf.data.places import remote
from mocotf.data.places.directory import SPECIAL
from mocotf.data.places.directory import special_in
from mocotf.data.places.tree import Found
from mocotf.data.places.tree import Tree
from mocotf.errors import UserError

COLUMNS = ("path", "label", "group")
LOOKED_AT = 100  # files, to tell whether the folder is the right one
DELIMITERS = {".csv": ",", ".tsv": "\t"}


class ListFile(Tree):
    """Pictures named in a file, in its order.

    It has a path a line; or, if its name ends in .csv or .tsv, is a table whose first line names the
    columns path and, where there are such, label and group.

    Args:
        path: of the list.
        folder: that paths in it are relative to; its own by default. Paths may be whole, and addresses.

    Raises:
        UserError: there is no list, it has other columns, or none of its first pictures is there.
    """

    def __init__(self, path, folder=None):
        self.name = path
        self._folder = os.path.dirname(path) if folder is None else folder
        self.local, self.plain = not remote.is_url(self._folder), remote.is_plain(self._folder)
        self.relative = True
        first = []
        for found in self._rows():
            if is_whole(found.name):
                self.relative = False
                self.local &= not remote.is_url(found.name)
                self.plain &= remote.is_plain(found.name)
            if len(first) < LOOKED_AT:
                first.append(path_of(self.root(""), found.name))
        if first and not any(remote.is_url(one) or os.path.exists(one) for one in first):
            raise UserError(
                f"--files={path}: {os.fsdecode(first[0])}: no such file, and none of the {len(first)} "
                "first ones is there; expected paths below --data_dir, or below the list's folder"
            )

    def entries(self, folder):
        return [[], [os.fsdecode(found.name) for found in self._rows()]]

    def pictures(self, folder, left_out):
        special_of = functools.cache(special_in)
        for found in self._rows():
            path = path_of(self.root(""), found.name)
            if not remote.is_url(path) and os.path.basename(path) in special_of(os.path.dirname(path)):
                left_out.refused[SPECIAL] += 1
            else:
                yield found

    def root(self, folder):
        return os.path.join(os.fsencode(self._folder), b"")

    def read(self, path, spot):
        return remote.read(path)

    def _rows(self):
        """Yields the `Found` of each line."""
        ending = os.path.splitext(self.name)[1].lower()
        if os.path.exists(self.name) and not os.path.isfile(self.name):
            raise UserError(
                f"--files={self.name}: is a folder, pipe or the like; expected a list of pictures"
            )
        try:
            with open(self.name, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                if ending in DELIMITERS:
                    yield from self._table(csv.DictReader(lines, delimiter=DELIMITERS[ending]))
                else:
                    yield from (Found(os.fsencode(one)) for line in lines if (one := line.strip()))
        except (OSError, csv.Error) as error:
            raise UserError(f"--files={self.name}: {error}; expected a list of pictures") from error

    def _table(self, rows):
        names = rows.fieldnames or []
        if "path" not in names or not set(names) <= set(COLUMNS):
            raise UserError(
                f"--files={self.name}: columns {', '.join(map(str, names)) or 'none'}; expected a "
                "first line with path, and of label and group what there is"
            )
        for row in rows:
            if row["path"]:
                label, group = (os.fsencode(row.get(name) or "") for name in COLUMNS[1:])
                yield Found(os.fsencode(row["path"]), (), label if "label" in names else None, group)


def is_whole(name):
    """Returns whether a name, bytes, says all of where a file is."""
    return name.startswith(b"/") or remote.is_url(name)


def path_of(root, name):
    """Returns the path of a picture by its root and its name, bytes."""
    return name if is_whole(name) else root + name
