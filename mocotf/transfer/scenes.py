"""Images with the boxes of what is on them, as detectors learn from and are measured on."""

import abc
import collections
import logging
import os

import numpy as np
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.transfer.cutouts import CLASSES
from mocotf.transfer.cutouts import cutouts
from mocotf.transfer.datasets import IndexedDataset
from mocotf.transfer.datasets import TransferDataset

log = logging.getLogger(__name__)


class Scenes(TransferDataset):
    """Images with boxes.

    Attributes:
        skipped: reason → number of boxes that were left out, a `collections.Counter`.
        hard_are_crowds: whether boxes too hard to count as missed are COCO's crowds, which have many
            objects in one box and are not trained on; else VOC's difficult objects, which are.
    """

    hard_are_crowds = True

    def __init__(self):
        self.skipped = collections.Counter()

    @abc.abstractmethod
    def load(self, handle):
        """Returns the image: encoded bytes, or uint8 `[H, W, 3]`. May fail in the graph."""

    @abc.abstractmethod
    def truth(self, handle, shape):
        """Returns what is on an image: boxes float32 `[k, 4]` (y1, x1, y2, x2 in pixels), labels int64
        `[k]`, and which are too hard to count as missed, bool `[k]`.

        Args:
            handle: of the image.
            shape: int32 `[3]`, that of the image.
        """

    def report(self):
        """Says which boxes were left out, if any."""
        for reason, count in self.skipped.items():
            log.warning("%s: skipped %d boxes: %s", self.name, count, reason)


class Truth:
    """What is on one image, cleaned: NumPy arrays `boxes`, `labels` and `hard`, as `Scenes.truth` says.

    Args:
        boxes: `[k, 4]`, y1, x1, y2, x2 in pixels.
        labels: `[k]`.
        height, width: of the image.
        classes: how many there are.
        hard: `[k]` bool; None for none.
        skipped: a `collections.Counter`, which takes note of what is left out: boxes of unknown class,
            outside the image or without area. Those that cross its border are cut.
    """

    def __init__(self, boxes, labels, height, width, classes, *, hard=None, skipped):
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        labels = np.asarray(labels, np.int64).reshape(-1)
        hard = np.zeros(len(labels), bool) if hard is None else np.asarray(hard, bool).reshape(-1)
        known = (labels >= 0) & (labels < classes)
        finite = np.isfinite(boxes).all(axis=1)
        positive = finite & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        cut = np.clip(np.nan_to_num(boxes), 0, [height, width, height, width])
        inside = (cut[:, 2:] > cut[:, :2]).all(axis=1)
        skipped["unknown class"] += int(np.sum(~known))
        skipped["without area"] += int(np.sum(known & ~positive))
        skipped["outside the image"] += int(np.sum(known & positive & ~inside))
        good = known & positive & inside
        self.boxes, self.labels, self.hard = cut[good].astype(np.float32), labels[good], hard[good]


class IndexedScenes(IndexedDataset, Scenes):
    """Scenes found by number, with all boxes in memory.

    Args:
        name: for messages.
        class_names: of the labels.
        training, test: of each part (images, a list of `Truth`); images are uint8 `[n, H, W, 3]`, or a
            list of paths of files.

    Raises:
        UserError: a part has no image, or no box that counts.
    """

    def __init__(self, name, class_names, training, test, skipped=None):
        super().__init__()
        self.name = name
        self.class_names = tuple(class_names)
        self.skipped.update(+(skipped or collections.Counter()))
        self.size, self.test_size = len(training[1]), len(test[1])
        for size, part in ((self.size, "train on"), (self.test_size, "measure on")):
            if not size:
                raise UserError(f"{name}: no image to {part}; expected at least one")
        truths = [*training[1], *test[1]]
        for part, some in (("training", training[1]), ("test", test[1])):
            if all(truth.hard.all() for truth in some):
                raise UserError(
                    f"{name}: none of {len(some)} {part} images has a box"
                    + (f"; skipped were: {dict(+self.skipped)}" if +self.skipped else "")
                    + "; expected annotations, and not of crowds only"
                )
        self._empty = sum(not len(truth.boxes) for truth in training[1])
        if isinstance(training[0], np.ndarray):
            self._images, self.paths = tf.constant(np.concatenate([training[0], test[0]])), None
        else:
            paths = [*map(os.fsencode, [*training[0], *test[0]])]
            self._images, self.paths = None, tf.constant(paths)
        counts = [len(truth.boxes) for truth in truths]
        self._firsts = tf.constant(np.cumsum([0, *counts]), tf.int64)
        self._boxes = tf.constant(np.concatenate([truth.boxes for truth in truths]))
        self._labels = tf.constant(np.concatenate([truth.labels for truth in truths]))
        self._hard = tf.constant(np.concatenate([truth.hard for truth in truths]))

    def load(self, handle):
        if self.paths is None:
            return self._images[handle]
        return tf.io.read_file(self.paths[handle])

    def truth(self, handle, shape):
        del shape  # boxes were held against it before
        first, end = self._firsts[handle], self._firsts[handle + 1]
        return self._boxes[first:end], self._labels[first:end], self._hard[first:end]

    def describe(self, handle):
        return tf.strings.format("image {}", handle) if self.paths is None else self.paths[handle]

    def report(self):
        super().report()
        if self._empty:
            log.warning(
                "%s: %d of %d training images have no box; they are learned from as background",
                self.name,
                self._empty,
                self.size,
            )


def cutout_scenes(train_images, test_images, size):
    """Returns the scenes of the embedded `cutouts`, so many of each part, of `size` pixels a side."""
    skipped = collections.Counter()

    def part(split, n):
        made = cutouts(split, n, size=size)
        truths = [
            Truth(boxes, labels, size, size, len(CLASSES), skipped=skipped)
            for boxes, labels in zip(made.boxes, made.labels, strict=True)
        ]
        return made.images, truths

    return IndexedScenes(
        "cutouts", CLASSES, part("train", train_images), part("test", test_images), skipped
    )
