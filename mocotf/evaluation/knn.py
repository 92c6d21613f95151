"""Weighted k-nearest-neighbour classification (Wu et al., arXiv 1805.01978, §3.4)."""

import dataclasses

import numpy as np
import tensorflow as tf

from mocotf.errors import UserError
from mocotf.evaluation.features import nothing_decodes
from mocotf.nn.products import product

BANK_TILE = 8192  # images of the bank that are compared at once …
QUERY_TILE = 512  # … with so many queries: 16 MB of similarities
IN_CACHE = 256  # images of the bank that are brought to unit length at once

_matrix = tf.TensorSpec([None, None], tf.float32)
_places = tf.TensorSpec([None, None], tf.int32)
_number = tf.TensorSpec([], tf.int32)


class Neighbours:
    """The k most similar images of a bank to each query, exactly, while the bank passes by in blocks.

    The bank is not kept. Held are the queries, 4 × M × C bytes, their neighbours so far, 8 × M × k,
    and one tile of the bank, twice 4 × 8192 × C. Tiles are filled across blocks, so that no bit
    depends on how the bank is cut. Of images equally similar the earlier one is nearer.

    Args:
        queries: features `[M, C]` float32 of any scale: the similarity is the cosine.
        k: neighbours of each; all of the bank where it has fewer.

    Raises:
        UserError: features are infinite or no numbers.
    """

    def __init__(self, queries, k):
        self._k = k
        self._queries = [tf.constant(unit_rows(queries[rows])) for rows in _tiles(len(queries))]
        self._nearest = [
            (tf.zeros([len(tile), 0]), tf.zeros([len(tile), 0], tf.int32)) for tile in self._queries
        ]
        self._tile = np.empty([BANK_TILE, queries.shape[1]], np.float32)
        self._filled = 0
        self._compared = 0

    def add(self, block):
        """Compares with the next block of the bank, features `[n, C]` float32."""
        while len(block):
            rows = min(len(block), BANK_TILE - self._filled, IN_CACHE)
            self._tile[self._filled : self._filled + rows] = unit_rows(block[:rows])
            self._filled += rows
            block = block[rows:]
            if self._filled == BANK_TILE:
                self._compare()

    def found(self):
        """Returns (similarities `[M, k]` float32, falling; places in the bank `[M, k]` int32)."""
        if self._filled:
            self._compare()
        similarities, places = zip(*self._nearest, strict=True)
        return tf.concat(similarities, axis=0).numpy(), tf.concat(places, axis=0).numpy()

    def _compare(self):
        bank = tf.constant(self._tile[: self._filled])
        self._nearest = [
            _nearest_of(queries, bank, self._compared, similarities, places, self._k)
            for queries, (similarities, places) in zip(self._queries, self._nearest, strict=True)
        ]
        self._compared += self._filled
        self._filled = 0


@tf.function(input_signature=[_matrix, _matrix, _number, _matrix, _places, _number], autograph=False)
def _nearest_of(queries, bank, first, similarities, places, k):
    """Returns the k nearest of those known and of a tile of the bank, whose first place is `first`."""
    new = product(queries, bank)  # [Q, B]
    known, size = tf.shape(places)[1], tf.shape(new)[1]

    def nearer():
        return tf.reduce_max(tf.math.count_nonzero(new > similarities[:, -1:], axis=1, dtype=tf.int32))

    # Once k are known, few images of a tile are nearer than the last of them: to find these is quick.
    count = tf.minimum(tf.minimum(k, size), tf.cond(known < k, lambda: size, nearer))
    new, columns = tf.math.top_k(new, count)
    similarities = tf.concat([similarities, new], axis=1)
    places = tf.concat([places, first + columns], axis=1)
    similarities, columns = tf.math.top_k(similarities, tf.minimum(k, known + count))  # first of equals
    return similarities, tf.gather(places, columns, batch_dims=1)


def unit_rows(features):
    """Returns features `[n, C]` at unit length, float32.

    Raises:
        UserError: they are infinite or no numbers.
    """
    features = np.asarray(features, np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features))
    if not np.isfinite(lengths).all():
        raise UserError(
            "the encoder's features are not finite: its run has diverged; try an earlier checkpoint"
        )
    return features / np.maximum(lengths, 1e-12)[:, None]


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The nearest images to each query, and what they say of it; `search` makes it.

    Attributes:
        similarities: `[M, K]` float32, falling.
        places: in the bank, int `[M, K]`.
        labels: int `[M, K]`.
        classes: the labels of the bank, each once, rising.
        size: images of the bank.
    """

    similarities: np.ndarray
    places: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    size: int

    def winners(self, k=200, T=0.07):
        """Returns the label that each query is given, int `[M]`.

        Neighbour i of the k nearest, or of K where that is fewer, votes for its class with weight
        exp(s_i / T), s_i being its similarity. Of classes with equal votes the lowest label wins.
        """
        count = len(self.classes)
        won = []
        for rows in _tiles(len(self.labels)):
            s = self.similarities[rows, :k].astype(np.float64)
            # The largest is taken off so that small T cannot overflow; votes keep their ratio.
            weights = np.exp((s - s[:, :1]) / T)
            column = np.searchsorted(self.classes, self.labels[rows, :k])
            box = count * np.arange(len(s))[:, None] + column
            votes = np.bincount(box.ravel(), weights.ravel(), count * len(s))
            won.append(self.classes[votes.reshape(len(s), count).argmax(axis=1)])
        return np.concatenate(won)

    def top1(self, query_labels, *, k=200, T=0.07):
        """Returns the share of queries whose vote is right, in percent."""
        return 100 * float(np.mean(self.winners(k, T) == query_labels))


def search(bank, queries, k=200):
    """Returns the `Nearest` of queries, in one pass over the bank, which is not kept.

    Args:
        bank: (features `[n, C]` float32, labels `[n]` int) blocks of any sizes.
        queries: features `[M, C]` float32.
        k: neighbours of each; all of the bank where it has fewer.

    Raises:
        UserError: the bank is empty, or features are not finite.
    """
    neighbours = Neighbours(queries, k)
    labels = []
    for block, block_labels in bank:
        neighbours.add(block)
        labels.append(block_labels)
    if not labels:
        raise nothing_decodes()
    labels = np.concatenate(labels)
    similarities, places = neighbours.found()
    return Nearest(similarities, places, labels[places], np.unique(labels), len(labels))


def knn_top1(bank, bank_labels, queries, query_labels, *, k=200, T=0.07):
    """Returns the top-1 accuracy in percent, with a bank in memory, `[N, C]` and `[N]`."""
    return search([(bank, bank_labels)], queries, k).top1(query_labels, k=k, T=T)


def _tiles(count):
    return [slice(start, start + QUERY_TILE) for start in range(0, count, QUERY_TILE)]
