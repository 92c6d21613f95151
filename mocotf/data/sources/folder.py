"""A folder of images, searched recursively; sub-folders may be classes."""

import array
import hashlib
import os

import numpy as np
import tensorflow as tf

from mocotf.data.sources.base import RandomAccessSource
from mocotf.data.sources.listing import LeftOut
from mocotf.data.sources.listing import Listing
from mocotf.data.sources.listing import held
from mocotf.data.sources.listing import images_under
from mocotf.data.sources.listing import is_hidden
from mocotf.data.sources.survey import SAMPLE
from mocotf.data.sources.survey import USE
from mocotf.data.sources.survey import survey
from mocotf.data.views.decode import FORMATS
from mocotf.errors import UserError
from mocotf.files import printable

QUERY_EVERY = 10
AT_ONCE = 65536  # images whose labels are looked through together
TRAIN = ("train", "training", "trn")
HELD_OUT = ("val", "valid", "validation", "test", "testing", "tst", "eval", "evaluation", "dev")


class Folder(RandomAccessSource):
    """All JPEG, PNG, BMP, GIF and WebP files under a folder; labels are not needed.

    Labels, for kNN only, are taken from sub-folders. `DIR/train` and `DIR/val`, where both exist under
    one of the names of `TRAIN` and `HELD_OUT`, are training images and queries. Otherwise, and where
    what is held out has no classes, all images of the first are trained on, the first level of
    sub-folders are the classes, and every tenth image is a query against the rest. A folder that has
    but one sub-folder, and nothing beside it, stands for that.

    Held per image: the bytes of its path below the folder and 8 more, 12 where there are classes.

    Args:
        data_dir: the folder.

    Attributes:
        unused: folders beside those of images to train on and of queries, by name.
        left_out: a `LeftOut`.

    Raises:
        UserError: no folder, or no image in it.
    """

    name = "folder"
    root = ""

    def __init__(self, data_dir):
        data_dir = os.path.expanduser(data_dir)
        if not os.path.isdir(data_dir):
            raise UserError(f"--data_dir={data_dir}: no such folder; expected a folder of images")
        train, self._held_out, self.unused = _splits(data_dir)
        classes, self.left_out = _Classes(), LeftOut()
        self._names = Listing(classes.note(self.left_out, train, self._held_out))
        roots = (train, self._held_out or train)
        self._roots = [os.path.join(os.fsencode(root), b"") for root in roots]
        self.size = classes.counts[0]
        if not self.size:
            raise UserError(
                f"--data_dir={data_dir}: no images found; expected {FORMATS}, in any sub-folder"
                + f"; {self.left_out}" * bool(str(self.left_out))
            )
        labels = classes.labels()
        self.class_names = classes.names()
        known, query = labels >= 0, self._is_query(np.arange(len(labels)))
        self.evaluation_sizes = (int((known & ~query).sum()), int((known & query).sum()))
        self._labels = held(labels)

    def found(self):
        seen = survey(lambda number: self._roots[0] + self._names[number].numpy(), self.size)
        parts = [f"{self.size:,} images ({seen.kinds})"]
        if self.class_names:
            parts.append(f"{len(self.class_names):,} classes")
        if queries := self.evaluation_sizes[1]:
            own = f"{queries:,} held out" if self._held_out else f"kNN asks about {queries:,} of them"
            parts.append(own)
        unused = f"not used: {', '.join(map(printable, self.unused))}" if self.unused else ""
        rotation = seen.rotation(USE[self.upright])
        return "; ".join(filter(None, [", ".join(parts), unused, str(self.left_out), rotation]))

    def digest(self):
        """Returns a text that stands for all names, and for the sizes of `SAMPLE` files at most."""
        found = hashlib.sha256(self._names.digest().encode())
        for number in np.linspace(0, self.size - 1, min(self.size, SAMPLE), dtype=np.int64):
            try:
                size = os.stat(self._roots[0] + self._names[int(number)].numpy()).st_size
            except OSError:  # a link to nothing: a bad image later
                size = -1
            found.update(size.to_bytes(8, "little", signed=True))
        return found.hexdigest()[:16]

    def load(self, handle):
        return tf.io.read_file(self.describe(handle))

    def label(self, handle):
        if not self._labels.shape[0]:
            return super().label(handle)
        return tf.cast(self._labels[handle], tf.int64)

    def describe(self, handle):
        root = tf.where(handle < self.size, *self._roots)
        return tf.strings.join([root, self._names[handle]])

    def evaluation(self, split):
        size = self._labels.shape[0]

        def some(first):
            handles = tf.range(first, tf.minimum(first + AT_ONCE, size))
            labels = tf.gather(self._labels, handles)
            chosen = (self._is_query(handles) == (split == "queries")) & (labels >= 0)
            columns = handles[chosen], tf.cast(labels[chosen], tf.int64)
            return tf.data.Dataset.from_tensor_slices(columns)

        return tf.data.Dataset.range(0, size, AT_ONCE).flat_map(some)

    def _is_query(self, handle):
        return handle >= self.size if self._held_out else handle % QUERY_EVERY == 0


class _Classes:
    """Takes note of the class of each image that a listing is made of: its first folder."""

    def __init__(self):
        self.counts = []  # images a root
        self._numbers = {}  # of classes, as they are met
        self._of_image = array.array("i")

    def note(self, left_out, *roots):
        """Yields the names under all roots that are not None, root by root; see `images_under`."""
        for root in filter(None, roots):
            before = len(self._of_image)
            for name in images_under(root, left_out):
                folder, _, rest = name.partition(os.fsencode(os.sep))
                number = self._numbers.setdefault(folder, len(self._numbers)) if rest else -1
                self._of_image.append(number)
                yield name
            self.counts.append(len(self._of_image) - before)

    def names(self):
        """Returns the names of the classes, sorted; none without two classes."""
        names = sorted(self._numbers)
        return tuple(name.decode(errors="replace") for name in names) if len(names) > 1 else ()

    def labels(self):
        """Returns each image's place among the sorted classes, -1 without; none without two classes."""
        if len(self._numbers) < 2:
            return np.zeros([0], np.int32)
        place = {name: i for i, name in enumerate(sorted(self._numbers))}
        place = np.array([*(place[name] for name in self._numbers), -1], np.int32)  # [-1] is -1
        return place[np.frombuffer(self._of_image, np.intc)]


def _splits(data_dir):
    """Returns (folder to train on, folder of queries or None, names of folders that are neither)."""
    folders, others = _entries(data_dir)
    while len(folders) == 1 and not others:
        inner = os.path.join(data_dir, folders[0])
        if os.path.realpath(data_dir).startswith(os.path.realpath(inner)):
            break  # a link upwards
        data_dir, (folders, others) = inner, _entries(inner)
    known = {name.lower(): name for name in folders}
    train, held_out = ([known[n] for n in names if n in known] for names in (TRAIN, HELD_OUT))
    if not (train and held_out):
        return data_dir, None, ()
    paths = {name: os.path.join(data_dir, name) for name in folders}
    queries = next((name for name in held_out if _has_classes(paths[name])), None)
    unused = tuple(name for name in folders if name not in (train[0], queries))
    return paths[train[0]], paths.get(queries), unused


def _has_classes(folder):
    """Returns whether any picture under a folder is in a sub-folder."""
    return any(os.sep.encode() in name for name in images_under(folder))


def _entries(folder):
    """Returns the names in a folder that are not hidden, sorted: (of folders, of what is none)."""
    with os.scandir(folder) as entries:
        seen = [(entry.name, entry.is_dir()) for entry in entries if not is_hidden(entry.name)]
    return [sorted(name for name, is_dir in seen if is_dir == wanted) for wanted in (True, False)]
