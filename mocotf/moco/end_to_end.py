"""The end-to-end mechanism (arXiv 1911.05722, Figure 2a): keys are back-propagated through."""

import tensorflow as tf

from mocotf.moco.contrastive import check_others
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce_among
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary
from mocotf.moco.two_encoders import TwoEncoders
from mocotf.moco.two_encoders import TwoEncodersSettings
from mocotf.training.collectives import own_rows


class EndToEnd(TwoEncoders):
    """Two encoders, both trained; a query's negatives are the keys of the other images of its batch.

    Keys are shuffled with the gradient going back through it.

    Args:
        backbone: see `TwoEncoders`; f_k starts equal to f_q and goes its own way.
        N: images of a batch, over all replicas, at least 2.
        more: see `TwoEncoders`.
    """

    NAME = "end_to_end"
    SUMMARY = "the batch, and a key encoder that is trained too"
    SETTINGS = TwoEncodersSettings
    KEYS_REMAT = True

    def __init__(self, backbone, *, N, **more):
        super().__init__(backbone, **more)
        self.N = N

    @classmethod
    def check(cls, settings, setup):
        super().check(settings, setup)
        check_others(cls, setup)

    @classmethod
    def build(cls, backbone, settings, setup, **common):
        return cls(
            backbone,
            N=setup.batch_size,
            T=settings.moco_t,
            symmetric=settings.symmetric,
            shuffle=settings.shuffle_bn,
            **common,
        )

    @property
    def chance(self):
        return chance(self.N - 1, directions=1 + self.symmetric)

    @property
    def trained_variables(self):
        return self.query_encoder.trainable_variables + self.key_encoder.trainable_variables

    def train_step(self, batch):
        """One step on this replica's share of the global batch; see `MoCo.train_step`."""
        views, labels, _ = self.unpack(batch)
        with tf.GradientTape() as tape:
            loss, ranks, looks = 0.0, [], []
            for d, (x_q, x_k) in enumerate(self.directions(*views)):
                _, all_k = self.encode_keys(x_k, d)  # [N, C]
                q, features = self.query_encoder(x_q, training=True, with_features=True)  # [n, C]
                loss_d, rank, similarities = info_nce_among(q, all_k, own_rows(q), self.T)
                loss += loss_d
                ranks.append(rank)
                looks.append((spread(q), *similarities))
        metrics = summary(loss, tf.concat(ranks, axis=0), looks)
        metrics |= self.descend(self.gradients(tape, loss))
        return metrics | self.probe_features(features, labels)
