"""A folder of images, searched recursively; sub-folders may be classes."""

import array
import os

import numpy as np
import tensorflow as tf

from mocotf.data.sources.base import RandomAccessSource
from mocotf.data.sources.listing import EXTENSIONS
from mocotf.data.sources.listing import Listing
from mocotf.data.sources.listing import held
from mocotf.data.sources.listing import images_under
from mocotf.errors import UserError

QUERY_EVERY = 10
AT_ONCE = 65536  # images whose labels are looked through together
HELD_OUT = ("val", "validation", "test")


class Folder(RandomAccessSource):
    """All JPEG, PNG, BMP, GIF and WebP files under a folder; labels are not needed.

    Labels, for kNN only, are taken from sub-folders. `DIR/train` and `DIR/val` (or `DIR/validation`,
    `DIR/test`), where both exist, are training images and queries. Otherwise all images are trained
    on, the first level of sub-folders are the classes, and every tenth image is a query against the
    rest.

    Held per image: the bytes of its path below the folder and 8 more, 12 where there are classes.

    Args:
        data_dir: the folder.

    Raises:
        UserError: no folder, or no image in it.
    """

    name = "folder"

    def __init__(self, data_dir):
        if not os.path.isdir(data_dir):
            raise UserError(f"--data_dir={data_dir}: no such folder; expected a folder of images")
        train, self._held_out = _splits(data_dir)
        classes = _Classes()
        self._names = Listing(classes.note(train, self._held_out))
        roots = (train, self._held_out or train)
        self._roots = [os.path.join(os.fsencode(root), b"") for root in roots]
        self.size = classes.counts[0]
        if not self.size:
            raise UserError(
                f"--data_dir={data_dir}: no images found; expected files ending in "
                f"{' '.join(EXTENSIONS)}, in any sub-folder"
            )
        labels = classes.labels()
        self.class_names = classes.names()
        known, query = labels >= 0, self._is_query(np.arange(len(labels)))
        self.evaluation_sizes = (int((known & ~query).sum()), int((known & query).sum()))
        self._labels = held(labels)

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

    def note(self, *roots):
        """Yields the names under all roots that are not None, root by root."""
        for root in filter(None, roots):
            before = len(self._of_image)
            for name in images_under(root):
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
    """Returns (folder to train on, folder of queries or None)."""
    train = os.path.join(data_dir, "train")
    for name in HELD_OUT:
        held_out = os.path.join(data_dir, name)
        if os.path.isdir(train) and os.path.isdir(held_out):
            return train, held_out
    return data_dir, None
