"""The end-to-end mechanism (arXiv 1911.05722, Figure 2a): keys are back-propagated through."""

import functools

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce_among
from mocotf.moco.mechanism import Mechanism
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary
from mocotf.moco.shuffle import check_shuffle
from mocotf.moco.shuffle import encode_shuffled
from mocotf.moco.shuffle import own_rows


class EndToEnd(Mechanism):
    """Two encoders, both trained; a query's negatives are the keys of the other images of its batch.

    With the MLP head, MoCo v2's augmentation, a cosine schedule and `symmetric` it stands for SimCLR,
    as in arXiv 2003.04297, Figure 1a.

    Args:
        query_encoder, key_encoder: see `Mechanism`; f_k starts equal to f_q and goes its own way.
        N: images of a batch, over all replicas, at least 2.
        symmetric, shuffle: as of `MoCo`; keys are shuffled with the gradient going back through it.
        more: T, seed, augment and probe, see `Mechanism`.

    Raises:
        UserError: there are no negatives; or as `check_shuffle` has it.
    """

    CURES = Mechanism.CURES | {"chance": "--lr and at the views in TensorBoard"}

    def __init__(self, query_encoder, key_encoder, *, N, symmetric=False, shuffle="gather", **more):
        super().__init__(query_encoder, key_encoder, name="end_to_end", **more)
        check_shuffle(shuffle, symmetric)
        if N < 2:
            raise UserError(
                f"a batch of {N} with mechanism end_to_end, whose negatives are its other images; "
                "expected at least 2"
            )
        self.N = N
        self.symmetric = symmetric
        self.shuffle = shuffle

    @property
    def chance(self):
        return chance(self.N - 1, directions=1 + self.symmetric)

    @property
    def learned(self):
        return self.query_encoder.trainable_variables + self.key_encoder.trainable_variables

    def train_step(self, batch):
        """One step on this replica's share of the global batch; see `MoCo.train_step`."""
        (x_q, x_k), labels, _ = self.unpack(batch)
        directions = [(x_q, x_k), (x_k, x_q)] if self.symmetric else [(x_q, x_k)]
        with tf.GradientTape() as tape:
            loss, ranks, looks = 0.0, [], []
            for d, (x_q, x_k) in enumerate(directions):
                _, all_k = self.encode_keys(x_k, d)  # [N, C]
                q, features = self.query_encoder(x_q, training=True, with_features=True)  # [n, C]
                loss_d, rank, similarities = info_nce_among(q, all_k, own_rows(q), self.T)
                loss += loss_d
                ranks.append(rank)
                looks.append((spread(q), *similarities))
        metrics = summary(loss, tf.concat(ranks, axis=0), looks)
        metrics |= self.descend(self.gradients(tape, loss))
        return metrics | self.probe_features(features, labels)

    def encode_keys(self, x_k, direction):
        """Encodes key images under shuffled BN, with gradient; returns (k, all_k) as `MoCo` does."""
        return encode_shuffled(
            functools.partial(self.key_encoder, training=True),
            x_k,
            shuffle=self.shuffle,
            seed=self.seed,
            step=self.optimizer.iterations.value,
            direction=direction,
        )
