"""A folder of images, searched recursively; sub-folders may be classes."""

import os

import numpy as np
import tensorflow as tf

from mocotf.data.source import RandomAccessSource
from mocotf.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
QUERY_EVERY = 10


class Folder(RandomAccessSource):
    """All JPEG, PNG, BMP and GIF files under a folder; labels are not needed.

    Labels, for kNN only, are taken from sub-folders. `DIR/train` and `DIR/val` (or `DIR/test`), where
    both exist, are training images and queries. Otherwise all images are trained on, the first level
    of sub-folders are the classes, and every tenth image is a query against the rest.

    Args:
        data_dir: the folder.

    Raises:
        UserError: no folder, or no image in it.
    """

    name = "folder"

    def __init__(self, data_dir):
        if not os.path.isdir(data_dir):
            raise UserError(f"--data_dir={data_dir}: no such folder; expected a folder of images")
        train, held_out = _splits(data_dir)
        paths = list_images(train)
        if not paths:
            raise UserError(
                f"--data_dir={data_dir}: no images found; expected files ending in "
                f"{' '.join(EXTENSIONS)}, in any sub-folder"
            )
        self.size = len(paths)
        labels = [_class_of(path, train) for path in paths]
        if held_out:
            more = list_images(held_out)
            labels += [_class_of(path, held_out) for path in more]
            paths += more
            query = np.arange(len(paths)) >= self.size
        else:
            query = np.arange(len(paths)) % QUERY_EVERY == 0
        self._paths = tf.constant([os.fsencode(path) for path in paths])  # any bytes, as Unix has it
        self._parts = _evaluation_parts(labels, query)
        self.evaluation_sizes = tuple(len(self._parts[p][0]) for p in ("bank", "queries"))

    def load(self, handle):
        return tf.io.read_file(self._paths[handle])

    def describe(self, handle):
        return self._paths[handle]

    def evaluation(self, part):
        return tf.data.Dataset.from_tensor_slices(self._parts[part])


def _evaluation_parts(labels, query):
    """Returns {"bank", "queries"}: (handles, class ids), empty without two classes."""
    classes = sorted(set(labels) - {None})
    ids = {name: i for i, name in enumerate(classes)}
    label = np.array([ids.get(name, -1) for name in labels], np.int64)
    known = (label >= 0) & (len(classes) > 1)
    handles = np.arange(len(labels))
    return {
        part: (handles[known & chosen], label[known & chosen])
        for part, chosen in (("bank", ~query), ("queries", query))
    }


def list_images(root):
    """Returns the sorted paths of images under `root`; symlinked folders are followed once."""
    found, seen = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        found += [os.path.join(folder, n) for n in sorted(names) if n.lower().endswith(EXTENSIONS)]
    return found


def _splits(data_dir):
    """Returns (folder to train on, folder of queries or None)."""
    train = os.path.join(data_dir, "train")
    for name in ("val", "test"):
        held_out = os.path.join(data_dir, name)
        if os.path.isdir(train) and os.path.isdir(held_out):
            return train, held_out
    return data_dir, None


def _class_of(path, root):
    """Returns the first folder below `root` on the way to `path`, None for a file directly in it."""
    first, _, rest = os.path.relpath(path, root).partition(os.sep)
    return first if rest else None
