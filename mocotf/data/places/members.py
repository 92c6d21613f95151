"""Places whose files are all known by name at once."""

import bisect
import os

from mocotf.data.places.tree import Tree
from mocotf.data.places.tree import is_hidden
from mocotf.data.places.tree import is_picture
from mocotf.data.places.tree import place_of
from mocotf.data.views.formats import HEAD


class Members(Tree):
    """A tree of files whose names are given.

    Args:
        name: of the place, as `Tree` has it.
        files: name, bytes, with / between folders → a `Found` of that name.
        refused: why → how many more files cannot be read.
    """

    def __init__(self, name, files, refused=None):
        self.name = name
        self._files = sorted(files.values(), key=lambda found: place_of(found.name))
        self._refused = refused or {}

    def entries(self, folder):
        folders, others = set(), set()
        for found in self._under(folder):
            first, _, rest = found.name.partition(b"/")
            if not is_hidden(first):
                (folders if rest else others).add(os.fsdecode(first))
        return [sorted(folders), sorted(others)]

    def pictures(self, folder, left_out):
        left_out.refused.update(self._refused)
        hidden, prefix = set(), self.root(folder)
        for found in self._under(folder):
            parts = found.name.split(b"/")
            first = next((i for i, part in enumerate(parts) if is_hidden(part)), None)
            if first is not None:
                hidden.add(b"/".join(parts[: first + 1]))
            elif is_picture(
                parts[-1], lambda found=found: self._head(prefix + found.name, found.spot), left_out
            ):
                yield found
        left_out.hidden += len(hidden)

    def spot_of(self, name):
        """Returns where the bytes of a file are by its name, bytes; raises FileNotFoundError."""
        at = bisect.bisect_left(self._files, place_of(name), key=lambda found: place_of(found.name))
        if at == len(self._files) or self._files[at].name != name:
            raise FileNotFoundError(os.fsdecode(name))
        return self._files[at].spot

    def _under(self, folder):
        prefix = os.fsencode(folder and f"{folder}/")
        for found in self._files:
            if found.name.startswith(prefix):
                yield found._replace(name=found.name[len(prefix) :])

    def _head(self, path, spot):
        """Returns the first bytes of a file; none of one that cannot be read."""
        try:
            return self.read(path, spot)[:HEAD]
        except Exception:  # of compression, of networks: what cannot be read is no picture
            return b""
