"""Images found by index, some of which have a class: which ones kNN asks about."""

import numpy as np
import tensorflow as tf

from mocotf.data.places.listing import held
from mocotf.data.sources.base import RandomAccessSource
from mocotf.tables import counted

QUERY_EVERY = 10
AT_ONCE = 65536  # images whose labels are looked through together


class Classified(RandomAccessSource):
    """Images whose queries are those held out, or else every tenth of those that are trained on.

    Where images have groups it is those of every tenth group: a query shall not find its own.

    Handles of what is held out follow those of the training images. Held per image: 4 bytes where there
    are classes, and 4 for groups.
    """

    def keep_labels(self, labels, held_out, groups=()):
        """Takes note of the labels, once `size` is known.

        Args:
            labels: int32 `[n]` of the training images, then of those held out, negative where there is
                none; or `[0]`.
            held_out: whether some are held out.
            groups: numbers, int32 `[n]`; none without groups.
        """
        self._held_out, self._groups = held_out, held(np.asarray(groups, np.int32))
        known, query = labels >= 0, self._is_query(np.arange(len(labels))).numpy()
        self.evaluation_sizes = (int((known & ~query).sum()), int((known & query).sum()))
        self._labels = held(labels)

    def found_classes(self):
        """Returns the parts of `found` that tell of classes, a list of texts."""
        parts = [counted(len(self.class_names), "class")] if self.class_names else []
        if queries := self.evaluation_sizes[1]:
            own = f"{queries:,} held out" if self._held_out else f"kNN asks about {queries:,} of them"
            parts.append(own)
        return parts

    def label(self, handle):
        if not self._labels.shape[0]:
            return super().label(handle)
        return tf.cast(self._labels[handle], tf.int64)

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
        if self._held_out:
            return tf.greater_equal(handle, self.size)
        number = tf.gather(self._groups, handle) if self._groups.shape[0] else handle
        return tf.equal(number % QUERY_EVERY, 0)
