"""Pictures of evaluation images beside their features: what gallery and projector are made of."""

import functools

import numpy as np
import tensorflow as tf

from mocotf.evaluation.knn import unit_rows
from mocotf.training.pictures import levels

SIDE = 96  # pixels of a picture, at most
KEPT = 500  # queries of which pictures are kept, at most
SHOWN = 10  # of these, queries of which the neighbours are found
NEIGHBOURS = 8


class Album:
    """Watches an extraction of features, see `extract`, and keeps pictures of what it sees.

    It is to see all queries before it sees the bank: so it knows, when the extraction is over, the
    nearest neighbours of some queries, and never holds pictures of more of the bank than these.

    Args:
        augmentation: that of the images, as `shown` takes it.
        queries: how many there will be, at most; those kept are evenly picked.
        kept: how many of them are kept, at most.
    """

    def __init__(self, augmentation, queries, kept=KEPT):
        self._augmentation = augmentation
        self._every = max(1, -(-queries // kept))
        self._seen = 0
        self._queries = []
        self._nearest = None

    @functools.cached_property
    def queries(self):
        """Pictures uint8 `[n, s, s, 3]`, features `[n, C]` and labels `[n]` of the queries kept."""
        return tuple(np.concatenate(parts) for parts in zip(*self._queries, strict=True))

    @functools.cached_property
    def shown(self):
        """As `queries`, of the queries `[g]` of which the neighbours are found, evenly picked."""
        pictures, features, labels = self.queries
        rows = np.unique(np.linspace(0, len(labels) - 1, SHOWN).astype(int))
        return pictures[rows], features[rows], labels[rows]

    @property
    def nearest(self):
        """Cosine similarities `[g, j]`, labels `[g, j]` and pictures uint8 `[g, j, s, s, 3]` of the
        neighbours of `shown` in the bank, the nearest first; j is `NEIGHBOURS`, or all of the bank."""
        return self._nearest

    def see_queries(self, images, features, labels):
        """Takes note of a batch of queries: images `[n, S, S, …]`, features `[n, C]`, labels `[n]`."""
        place = np.arange(self._seen, self._seen + len(labels))
        self._seen += len(labels)
        kept = np.flatnonzero(place % self._every == 0)
        self._queries.append((self._pictures(images, kept), features[kept], labels[kept]))

    def see_bank(self, images, features, labels):
        """Takes note of a batch of the bank, as `see_queries`."""
        queries, directions, _ = self.shown
        similarity = unit_rows(directions) @ unit_rows(features).T  # [g, n]
        near = _highest(similarity)
        pictures = np.zeros((*near.shape, *queries.shape[1:]), np.uint8)
        seen = np.take_along_axis(similarity, near, axis=1), labels[near], pictures
        before = self._nearest or [x[:, :0] for x in seen]
        best = _highest(np.concatenate([before[0], seen[0]], axis=1))
        # Soon few of a batch are among the nearest: pictures are made of these only.
        rows, places = np.nonzero(best >= before[0].shape[1])
        columns = best[rows, places] - before[0].shape[1]
        pictures[rows, columns] = self._pictures(images, near[rows, columns])
        kept = np.arange(len(best))[:, None], best
        self._nearest = tuple(
            np.concatenate(pair, axis=1)[kept] for pair in zip(before, seen, strict=True)
        )

    def _pictures(self, images, rows):
        """Returns some of a batch of normalised images as small pictures, uint8 `[n, s, s, 3]`."""
        images = tf.gather(images, rows)
        if images.shape[1] > SIDE and not len(rows):
            images = tf.zeros([0, SIDE, SIDE, images.shape[3]])  # TensorFlow resizes no empty batch
        elif images.shape[1] > SIDE:
            images = tf.image.resize(images, (SIDE, SIDE), method="area")
        return levels(images, self._augmentation)


def _highest(similarity):
    """Returns the columns of the highest of each row, the highest first; of equals the earlier."""
    return np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
