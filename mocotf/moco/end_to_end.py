"""The end-to-end mechanism (arXiv 1911.05722, Figure 2a): gradients reach the keys, too."""

import dataclasses
from typing import Any

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.moco.contrastive import check_others
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce_among
from mocotf.moco.mechanism import Backbone
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary
from mocotf.moco.two_encoders import SHARED
from mocotf.moco.two_encoders import TwoEncoders
from mocotf.moco.two_encoders import TwoEncodersSettings
from mocotf.nn.backbone import NAMES
from mocotf.nn.backbone import backbone_maker
from mocotf.nn.backbone import is_path
from mocotf.nn.resnet import ARCHITECTURES
from mocotf.settings import setting
from mocotf.training.collectives import own_rows


@dataclasses.dataclass(frozen=True)
class EndToEndSettings(TwoEncodersSettings):
    """Keys that are trained, too, need not be of an encoder like the queries'."""

    GROUP = "end_to_end"

    key_backbone: str | None = setting(
        None,
        "Encoder of keys: shared, the queries' own; or the name of one, as in --arch or "
        "--backbone. Default: a second one like the queries', which starts as its copy.",
    )

    def check(self, given=None):
        super().check(given)
        name = self.key_backbone
        if name and name not in (SHARED, *ARCHITECTURES) and not is_path(name):
            raise UserError(f"--key_backbone={name}: expected {SHARED}, one of {NAMES}, or MODULE:NAME")


class EndToEnd(TwoEncoders):
    """Encoders of queries and keys, all trained; negatives are the keys of a batch's other images.

    Keys are shuffled with the gradient going back through it. The two encoders may be equal, shared or
    different (arXiv 1911.05722, §3.1).

    Args:
        backbone: see `TwoEncoders`; f_k goes its own way.
        N: images of a batch, over all replicas, at least 2.
        more: see `TwoEncoders`.

    Examples:
        >>> images = keras.Input((32, 32, 3))
        >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(32, 3)(images))
        >>> model = mocotf.EndToEnd(keras.Model(images, features), N=24, T=0.2)
        >>> model.compile(keras.optimizers.AdamW(1e-3))
        >>> views = mocotf.two_crops("my_photos", batch_size=24, image_size=32)
        >>> _ = model.fit(views, epochs=1, verbose=0)
        >>> model.backbone.output.shape
        (None, 32)
    """

    NAME = "end_to_end"
    SUMMARY = "the batch, and a key encoder that is trained too"
    SETTINGS = EndToEndSettings
    KEYS_REMAT = True

    def __init__(self, backbone: Backbone, *, N: int, **more: Any) -> None:
        super().__init__(backbone, **more)
        self.N = N

    @classmethod
    def check(cls, settings, setup):
        super().check(settings, setup)
        check_others(cls, setup)

    @classmethod
    def build(cls, backbone, settings, setup, **common):
        key_backbone = settings.key_backbone
        if key_backbone not in (None, SHARED):
            path = key_backbone if is_path(key_backbone) else None
            own = {"arch": key_backbone, "backbone": path, "backbone_args": None}
            encoder = dataclasses.replace(setup.encoder, **own)
            key_backbone = backbone_maker(encoder, common["image_size"], common["channels"])
        return cls(
            backbone,
            N=setup.batch_size,
            T=settings.moco_t,
            symmetric=settings.symmetric,
            shuffle=settings.shuffle_bn,
            key_backbone=key_backbone,
            **common,
        )

    @property
    def chance(self):
        return chance(self.N - 1, directions=1 + self.symmetric)

    @property
    def trained_variables(self):
        own = [] if self._shares else self.key_encoder.trainable_variables
        return self.query_encoder.trainable_variables + own

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
