"""Images without labels, to look at what an encoder takes for alike."""

import tensorflow as tf

QUERIES = 200
BANK = 2000
NO_LABEL = -1


class Unlabelled:
    """Training images of a `Source` in the place of labelled ones, for `centre_views`.

    They have neighbours, though no accuracy: all labels are -1. No query is in the bank.

    Args:
        source: a `Source`; labels that it may have are not used.
    """

    class_names = ()

    def __init__(self, source):
        self._source = source
        queries = min(QUERIES, -(-source.size // 10))
        # A single image is both.
        self.evaluation_sizes = (max(1, min(BANK, source.size - queries)), queries)
        self.shape, self.upright = source.shape, source.upright
        self.max_pixels = source.max_pixels
        self.load = source.load
        self.describe = source.describe

    def evaluation(self, split):
        """Returns a finite dataset of (handle, -1); see `Source.evaluation`."""
        bank, queries = self.evaluation_sizes
        n = min(bank + queries, self._source.size)
        handles = self._source.sample(n)
        handles = handles.take(queries) if split == "queries" else handles.skip(n - bank)
        return handles.map(lambda handle: (handle, tf.constant(NO_LABEL, tf.int64)))
