"""The memory bank mechanism (arXiv 1911.05722, Figure 2b): keys are what images were encoded to."""

import types

import tensorflow as tf

from mocotf.moco.bank import draw_rows
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce
from mocotf.moco.mechanism import Mechanism
from mocotf.moco.metrics import similarities
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary


class MemoryBank(Mechanism):
    """One encoder, one view of each image: its key is its entry in a `Bank`, its negatives are K
    entries drawn anew each step, the same for all queries of the batch.

    The entries are drawn of all images, as in the papers: a query's own may be among them.

    Args:
        query_encoder: see `Mechanism`.
        bank: a `Bank`.
        K: negatives.
        more: T, seed, augment and probe, see `Mechanism`.
    """

    VIEWS = 1
    INDEXED = True
    # Keys are an epoch old: for long the loss is above chance while the features become better.
    CURES = types.MappingProxyType({})

    def __init__(self, query_encoder, *, bank, K, **more):
        super().__init__(query_encoder, name="memory_bank", **more)
        self.bank = bank
        self.K = K

    @property
    def chance(self):
        return chance(self.K)

    def steps_to_fill(self, batch_size):
        return self.bank.N / batch_size

    def parts(self):
        return super().parts() | {"bank": {"entries": self.bank.variable}}

    def train_step(self, batch):
        """One step on this replica's share of the global batch; see `MoCo.train_step`."""
        (x,), labels, rows = self.unpack(batch)
        v = self.bank.read(rows)  # [n, C]
        negatives = self.bank.read_same(self.draw_negatives())  # [K, C]
        with tf.GradientTape() as tape:
            f, features = self.query_encoder(x, training=True, with_features=True)  # [n, C]
            loss, rank = info_nce(f, v, negatives, self.T)
        metrics = summary(loss, rank, [(spread(f), *similarities(f, v, negatives))])
        metrics |= self.descend(self.gradients(tape, loss))
        self.bank.update(rows, f)
        return metrics | self.probe_features(features, labels)

    def draw_negatives(self):
        """Returns the images `[K]` whose entries are this step's negatives, on all replicas."""
        return draw_rows(self.seed, self.optimizer.iterations.value, [self.K], self.bank.N)
