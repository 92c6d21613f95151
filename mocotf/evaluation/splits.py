"""The images of a source that kNN reads: a bank to compare with, and queries."""

from mocotf.data.pretraining import centre_views
from mocotf.evaluation.album import KEPT
from mocotf.evaluation.album import Album
from mocotf.evaluation.features import batches
from mocotf.evaluation.features import extract
from mocotf.evaluation.knn import search


class KNNSplits:
    """The bank and the queries of a source, and the search for the queries' neighbours.

    Args:
        source: a `Source` with labels, or an `Unlabelled`.
        view: an `Augmentation`, gives size, mean and std.
        bad_images: a `BadImages`.
        most: images of (bank, queries) that are used at most, evenly picked; None for all.
        batch_size: images encoded at a time.

    Attributes:
        sizes: images of (bank, queries), where all of them decode.
        bank, queries: their `centre_views`.
    """

    def __init__(self, source, view, bad_images, most=(None, None), batch_size=256):
        every = [
            -(-size // limit) if limit else 1
            for size, limit in zip(source.evaluation_sizes, most, strict=True)
        ]
        self.sizes = tuple(-(-n // e) for n, e in zip(source.evaluation_sizes, every, strict=True))
        examples = [
            source.evaluation(split).shard(e, 0)
            for split, e in zip(("bank", "queries"), every, strict=True)
        ]
        self.bank, self.queries = (
            centre_views(source, some, view, bad_images, batch_size) for some in examples
        )
        self._source, self._asked = source, examples[1]
        self._view = view

    def album(self, kept=KEPT):
        """Returns a new `Album`, to watch one search, which keeps so many queries at most."""
        return Album(self._view, self.sizes[1], kept)

    def query_names(self):
        """Returns what messages call the queries, a list of bytes; those that do not decode, too."""
        return [*self._asked.map(lambda handle, _: self._source.describe(handle)).as_numpy_iterator()]

    def search(self, encode, k, album=None):
        """Returns (nearest, features, labels) of the queries: a `Nearest`, `[M, C]` float32, `[M]`.

        Args:
            encode: images `[n, S, S, 3]` → features `[n, …]`.
            k: neighbours of each; all of the bank where it has fewer.
            album: an `Album` that watches.
        """
        see_queries, see_bank = (album.see_queries, album.see_bank) if album else (None, None)
        features, labels = extract(encode, self.queries, see_queries)
        return search(batches(encode, self.bank, see_bank), features, k), features, labels
