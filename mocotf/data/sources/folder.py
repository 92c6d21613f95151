"""Images that are files: in folders, whose sub-folders may be classes, in archives, named in lists."""

import array
import itertools

import numpy as np

from mocotf.data.places.lists import is_whole
from mocotf.data.places.parts import Parts
from mocotf.data.places.pictures import Pictures
from mocotf.data.places.survey import USE
from mocotf.data.sources.classified import Classified
from mocotf.data.sources.groups import group_namer
from mocotf.data.views.formats import FORMATS
from mocotf.errors import UserError
from mocotf.files import printable
from mocotf.tables import counted


class Folder(Classified):
    """All image files of places, of the formats of docs/guides/data.md; labels are not needed.

    Labels, for kNN only, are the list's or the archive's, else the first level of sub-folders. Queries
    are what is held out, as `Parts` finds it; where nothing is, every tenth image, or all images of
    every tenth group, is a query against the rest.

    Held per image: the bytes of its path below the folder and 8 more, 12 where there are classes, 4 for
    groups, 24 in archives.

    Args:
        data_dir, files: as `Parts` has them.

    Attributes:
        unused: folders beside those of images to train on and of queries, by name.
        left_out: a `LeftOut`.

    Raises:
        UserError: no such place, or no image in it.
    """

    name = "folder"

    def __init__(self, data_dir, files=None):
        parts = Parts(data_dir, files)
        classes = _Classes()
        self._pictures = Pictures([*parts.training, *parts.held_out], classes.take)
        self.unused, self.bad_shards = tuple(parts.unused), tuple(parts.damaged)
        self.left_out, self.root = self._pictures.left_out, self._pictures.root
        self.servable = self._pictures.servable
        self.size = sum(self._pictures.counts[: len(parts.training)])
        if not self.size:
            where = f"--files={files}" if files else f"--data_dir={data_dir}"
            problems = [*parts.damaged, *filter(None, [str(self.left_out)])]
            expected = f"no images found; expected {FORMATS}, in any sub-folder"
            raise UserError("; ".join([f"{where}: {expected}", *problems]))
        self.class_names = classes.names()
        self.keep_labels(classes.labels(), bool(parts.held_out), classes.groups())

    def found(self):
        seen = self._pictures.survey(self.size)
        parts = [f"{counted(self.size, 'image')} ({seen.kinds})", *self.found_classes()]
        unused = f"not used: {', '.join(map(printable, self.unused))}" if self.unused else ""
        rotation = seen.rotation(USE[self.upright])
        groups = self.groups.found() if self.groups else ""
        found = [", ".join(parts), groups, unused, str(self.left_out), rotation]
        return "; ".join(filter(None, found))

    def digest(self):
        found = self._pictures.digest(self.size)
        return f"{found} in groups {self.groups.digest}" if self.groups else found

    def contents(self):
        return len(self._pictures), self._pictures.contents()

    def group_numbers(self, by=None):
        if not by and not self._groups.shape[0]:
            raise UserError(
                "--positives=group: nothing says which images go together; expected --group_by=folder, "
                "--group_by='REGEX' of their paths, or --files with a column group"
            )
        if not by:
            return self._groups[: self.size].numpy()
        numbers, of_image, named = {}, array.array("i"), group_namer(by)
        for name in itertools.islice(self._pictures.names(), self.size):
            of_image.append(_number(numbers, named(name)))
        if not numbers:
            raise UserError(
                f"--group_by={by}: matches none of {self.size:,} paths, such as {printable(name)}; "
                "expected a pattern of paths below --data_dir"
            )
        return _groups(numbers, of_image)

    def load(self, handle):
        return self._pictures.read(handle)

    def describe(self, handle):
        return self._pictures.path(handle)


class _Classes:
    """Takes note of the class and the group of each image."""

    def __init__(self):
        self._classes, self._of_image = {}, array.array("i")  # numbers as they are met; -1: none
        self._groups, self._group_of_image = {}, array.array("i")

    def take(self, found):
        """Takes note of a `Found`."""
        label = found.label
        if label is None and not is_whole(found.name):
            label = found.name.partition(b"/")[0] if b"/" in found.name else None
        self._of_image.append(_number(self._classes, label))
        self._group_of_image.append(_number(self._groups, found.group))
        return True

    def names(self):
        """Returns the names of the classes, in order; none without two classes."""
        names = self._in_order()
        return tuple(name.decode(errors="replace") for name in names) if len(names) > 1 else ()

    def labels(self):
        """Returns each image's place among the classes, -1 without; none without two classes."""
        if len(self._classes) < 2:
            return np.zeros([0], np.int32)
        place = {name: i for i, name in enumerate(self._in_order())}
        place = np.array([*(place[name] for name in self._classes), -1], np.int32)  # [-1] is -1
        return place[np.frombuffer(self._of_image, np.intc)]

    def groups(self):
        """Returns each image's group, a number, for one without its own; none without groups."""
        if not self._groups:
            return np.zeros([0], np.int32)
        return _groups(self._groups, self._group_of_image)

    def _in_order(self):
        as_numbers = all(name.isdigit() for name in self._classes)
        return sorted(self._classes, key=lambda name: (len(name) if as_numbers else 0, name))


def _groups(numbers, of_image):
    """Returns each image's group, int32, for one without, -1, its own.

    Args:
        numbers: name of a group → its number.
        of_image: numbers, `array.array("i")`.
    """
    groups = np.frombuffer(of_image, np.intc)
    return np.where(groups < 0, len(numbers) + np.arange(len(groups)), groups).astype(np.int32)


def _number(numbers, name):
    """Returns the number of a name, a new one for a new name; -1 for none."""
    return numbers.setdefault(name, len(numbers)) if name else -1
