"""Whether an encoder tells pictures apart by augmented copies of them: the measure without labels."""

import hashlib

import numpy as np

from mocotf.data.pretraining import centre_views
from mocotf.data.pretraining import random_copies
from mocotf.evaluation.features import extract
from mocotf.evaluation.knn import unit_rows
from mocotf.training.pictures import levels

COPIES = 500
ROUNDING = 1e-6  # of the cosine of two float32 vectors


class Retrieval:
    """A bank of pictures, and augmented copies of pictures in it, the same at every measurement.

    It asks for what contrastive training asks for, of the encoder as it is used later: the picture is
    whole, and batch norm has its moving statistics. So it tells whether anything was learned, not what
    that is good for.

    Args:
        source: an `Unlabelled`; of each picture of its bank as many copies as make `COPIES`.
        view: the `Augmentation` of the run, by which copies are made; gives size, mean and std.
        bad_images: a `BadImages`.
        batch_size: images encoded at a time.
    """

    def __init__(self, source, view, bad_images, batch_size=256):
        bank = source.evaluation("bank").enumerate().map(lambda number, example: (example[0], number))
        copied = bank.repeat().take(COPIES)
        self._bank = centre_views(source, bank, view, bad_images, batch_size)
        self._copies = random_copies(source, copied, view, bad_images, batch_size)
        self._view = view

    def scores(self, encode, see_bank=None):
        """Returns `nearer` of each copy and its picture, float64 `[M]`.

        Pictures of which the encoder sees the same are one picture; where all are, M is 0.

        Args:
            encode: images `[n, S, S, 3]` → features `[n, …]`.
            see_bank: is shown (images, features, numbers) of each batch of the bank; see `Album`.

        Raises:
            UserError: no picture decodes, or features are not finite.
        """
        seen = []

        def see(images, features, numbers):
            # What differs in a channel that is not shown, or by less than a level, is not the same.
            pictures = np.asarray(images) if self._view.channels else levels(images, self._view)
            seen.extend(hashlib.sha1(picture).hexdigest() for picture in pictures)
            if see_bank:
                see_bank(images, features, numbers)

        bank, numbers = extract(encode, self._bank, see)
        _, rows, picture_of = np.unique(seen, return_index=True, return_inverse=True)
        if len(rows) == 1:
            return np.zeros([0])
        copies, copied = extract(encode, self._copies)
        return nearer(bank[rows], copies, picture_of[np.searchsorted(numbers, copied)])


def nearer(bank, queries, own):
    """Returns the share of a bank's other rows that each query ranks below its own, float64 `[M]`.

    It is the area under the query's ROC curve: 1 where its own row comes first, .5 on average by
    chance. Nearness is the cosine. Equally near, up to rounding, is not nearer: an encoder to which all
    pictures are alike has 0.

    Args:
        bank: features `[N, C]` float32, two or more.
        queries: features `[M, C]` float32.
        own: rows of the bank, int `[M]`.

    Raises:
        UserError: features are not finite.
    """
    similarities = unit_rows(queries) @ unit_rows(bank).T  # [M, N]
    to_own = similarities[np.arange(len(own)), own][:, None]
    others = len(bank) - 1  # its own is not nearer than itself
    return (to_own > similarities + ROUNDING).sum(axis=1) / others
