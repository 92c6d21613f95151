"""How right a classifier is: top-1, top-5, class by class, and what is taken for what."""

import dataclasses

import numpy as np

from mocotf.files import atomic_write
from mocotf.tables import csv_of


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a classifier says of labelled images.

    Attributes:
        confusion: int64 `[classes, classes]`: images of a class (row) that were taken for one (column).
        top5: share of images whose class is among the five likeliest, percent.
    """

    confusion: np.ndarray
    top5: float

    @classmethod
    def of(cls, scores, labels):
        """Returns the `Scores` of class scores `[N, classes]` and labels int64 `[N]`."""
        classes = scores.shape[1]
        confusion = np.zeros([classes, classes], np.int64)
        np.add.at(confusion, (labels, scores.argmax(axis=1)), 1)
        right = scores[np.arange(len(labels)), labels]
        # Not `>=`: NaN is to count against the right class.
        rank = (~(scores < right[:, None])).sum(axis=1) - 1
        return cls(confusion, 100.0 * float(np.mean(rank < 5)))

    @property
    def top1(self):
        """Share of images whose class is the likeliest, percent."""
        return 100.0 * float(np.trace(self.confusion) / self.confusion.sum())

    def of_classes(self):
        """Returns the top-1 of each class in percent, `[classes]`; NaN where it has no image."""
        images = self.confusion.sum(axis=1)
        right = np.diag(self.confusion)
        return np.divide(100.0 * right, images, out=np.full(len(images), np.nan), where=images > 0)

    def lowest(self, count):
        """Returns class → top-1 in percent, lowest first, of at most `count` classes with images."""
        of_classes = self.of_classes()
        order = np.argsort(of_classes)[:count]  # NaN comes last
        return {int(c): float(of_classes[c]) for c in order if not np.isnan(of_classes[c])}

    def write(self, path, names):
        """Writes the confusion matrix as CSV, with each class's name, images and top-1 before its row.

        Args:
            path: of the file.
            names: of the classes.
        """
        rows = [["class", "images", "top1", *(f"taken for {name}" for name in names)]]
        for name, row, top1 in zip(names, self.confusion, self.of_classes(), strict=True):
            rows.append([name, row.sum(), f"{top1:.2f}", *row])
        atomic_write(path, csv_of(rows))
