"""SimCLR (arXiv 2002.05709): one encoder for both views; negatives are the batch's other images."""

from typing import Any

import tensorflow as tf

from mocotf.moco.contrastive import Contrastive
from mocotf.moco.contrastive import ContrastiveSettings
from mocotf.moco.contrastive import check_others
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce_among
from mocotf.moco.mechanism import Backbone
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary
from mocotf.nn.batch_norm import synchronize
from mocotf.nn.encoder import build_encoder
from mocotf.training.collectives import all_gather
from mocotf.training.collectives import own_rows


class SimCLR(Contrastive):
    """Both views of an image are encoded by f; each is the other's key, and both views of the batch's
    other images are its negatives.

    Batch norm is over all replicas, as published, whatever --bn_splits says.

    Args:
        backbone: of f, see `Mechanism`.
        N: images of a batch, over all replicas, at least 2.
        more: see `Contrastive`.

    Examples:
        >>> images = keras.Input((32, 32, 3))
        >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(32, 3)(images))
        >>> model = mocotf.SimCLR(keras.Model(images, features), N=24, T=0.2, mlp=True)
        >>> model.compile(keras.optimizers.AdamW(1e-3))
        >>> views = mocotf.two_crops("my_photos", batch_size=24, image_size=32)
        >>> _ = model.fit(views, epochs=1, verbose=0)
        >>> model.backbone.output.shape
        (None, 32)
    """

    NAME = "simclr"
    SUMMARY = "the batch: one encoder for both views, each the other's key"
    SETTINGS = ContrastiveSettings

    def __init__(self, backbone: Backbone, *, N: int, **more: Any) -> None:
        super().__init__(backbone, **more)
        self.N = N

    @classmethod
    def check(cls, settings, setup):
        super().check(settings, setup)
        check_others(cls, setup)

    @classmethod
    def batch_factors(cls, settings, setup):
        del settings, setup
        return {}

    @classmethod
    def hints(cls, config):
        found = super().hints(config)
        return found | {"chance": found["collapse"]}

    @staticmethod
    def make_encoder(backbone, **options):
        encoder = build_encoder(backbone, **options | {"bn_splits": 1})
        synchronize(encoder)
        return encoder

    @classmethod
    def build(cls, backbone, settings, setup, **common):
        return cls(backbone, N=setup.batch_size, T=settings.moco_t, **common)

    @property
    def chance(self):
        return chance(2 * self.N - 2)

    def train_step(self, batch):
        """One step on this replica's share of the global batch; see `MoCo.train_step`. The loss is
        Eq. 1's, the mean over the 2N views of the batch."""
        (x_1, x_2), labels, _ = self.unpack(batch)
        with tf.GradientTape() as tape:
            z_1, features = self.query_encoder(x_1, training=True, with_features=True)  # [n, C]
            z_2 = self.query_encoder(x_2, training=True)
            all_z = tf.concat([all_gather(z_1), all_gather(z_2)], axis=0)  # [2N, C]
            first = own_rows(z_1)
            second = first + tf.shape(all_z)[0] // 2
            loss, rank, similarities = info_nce_among(
                tf.concat([z_1, z_2], axis=0),
                all_z,
                tf.concat([second, first], axis=0),
                self.T,
                itself=tf.concat([first, second], axis=0),
            )
        metrics = summary(loss, rank, [((spread(z_1) + spread(z_2)) / 2, *similarities)])
        metrics |= self.descend(self.gradients(tape, loss))
        return metrics | self.probe_features(features, labels)
