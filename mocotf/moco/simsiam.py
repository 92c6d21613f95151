"""SimSiam (arXiv 2011.10566): a predictor of one view from the other; no keys, no negatives."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from mocotf.metrics import LOSS
from mocotf.moco.mechanism import Backbone
from mocotf.moco.mechanism import Mechanism
from mocotf.moco.metrics import spread
from mocotf.nn.batch_norm import BatchNorm
from mocotf.nn.batch_norm import BatchNormReLU
from mocotf.nn.batch_norm import synchronize
from mocotf.nn.encoder import build_encoder
from mocotf.nn.heads import linear
from mocotf.nn.heads import vectors
from mocotf.nn.resnet import ResNet
from mocotf.nn.resnet import last_norms
from mocotf.settings import Settings
from mocotf.settings import setting


@dataclasses.dataclass(frozen=True)
class SimSiamSettings(Settings):
    """The predictor."""

    GROUP = "simsiam"

    predictor_dim: int = setting(
        512, "Hidden dimension of simsiam's predictor; as published a quarter of --moco_dim.", low=1
    )


class SimSiam(Mechanism):
    """One encoder f, and a predictor h: of each view h(f(x)) is to be f of the other, where no gradient
    goes.

    Batch norm is over all replicas, whatever --bn_splits says, and the rate of h does not decay.

    Args:
        backbone: of f, see `Mechanism`.
        predictor_dim: width of h between its two layers.
        more: see `Mechanism`.

    Examples:
        >>> images = keras.Input((32, 32, 3))
        >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(32, 3)(images))
        >>> model = mocotf.SimSiam(keras.Model(images, features), dim=64, predictor_dim=16)
        >>> model.compile(keras.optimizers.AdamW(1e-3))
        >>> views = mocotf.two_crops("my_photos", batch_size=24, image_size=32)
        >>> _ = model.fit(views, epochs=1, verbose=0)
        >>> model.backbone.output.shape
        (None, 32)
    """

    NAME = "simsiam"
    SUMMARY = "no keys: the other view's projection, which a predictor is to meet"
    SETTINGS = SimSiamSettings
    METRICS = (
        dataclasses.replace(LOSS, meaning="negative cosine; -1 where views are predicted"),
        *Mechanism.METRICS[1:],
    )
    FIXED_LR = ("predictor/",)

    def __init__(self, backbone: Backbone, *, predictor_dim: int = 512, **more: Any) -> None:
        super().__init__(backbone, **more)
        self.predictor = predictor(self.C, predictor_dim)

    @classmethod
    def batch_factors(cls, settings, setup):
        del settings, setup
        return {}

    @staticmethod
    def make_encoder(backbone, **options):
        """Returns f as the authors have it: a projector with batch norm; residual blocks that begin as
        the identity."""
        encoder = build_encoder(backbone, **options | {"bn_splits": 1, "head": projector})
        if isinstance(encoder.backbone, ResNet):
            for norm in last_norms(encoder.backbone):
                norm.gamma.assign(tf.zeros_like(norm.gamma))
        synchronize(encoder)
        return encoder

    @classmethod
    def build(cls, backbone, settings, setup, **common):
        del setup
        return cls(backbone, predictor_dim=settings.predictor_dim, **common)

    @property
    def trained_variables(self):
        return self.query_encoder.trainable_variables + self.predictor.trainable_variables

    def variable_groups(self):
        return super().variable_groups() | {"predictor": self.predictor.variables}

    def train_step(self, batch):
        """One step on this replica's share of the global batch: `(x_1, x_2)`, each `[n, H, W, 3]`, or
        what `augment` makes them of; with a probe labels `[n]` follow.

        Returns float32 scalars: `loss`; `feature_std`, how far projections are spread, see `spread`;
        `gradient_norm`, over all replicas; and what the probe learns.
        """
        (x_1, x_2), labels, _ = self.unpack(batch)
        with tf.GradientTape() as tape:
            p_1, z_1, features = self.project_and_predict(x_1)  # [n, C], [n, C]
            p_2, z_2, _ = self.project_and_predict(x_2)
            loss = (distance(p_1, z_2) + distance(p_2, z_1)) / 2
        metrics = {"loss": loss, "feature_std": (spread(z_1) + spread(z_2)) / 2}
        metrics = {name: tf.cast(value, tf.float32) for name, value in metrics.items()}
        metrics |= self.descend(self.gradients(tape, loss))
        return metrics | self.probe_features(features, labels)

    def project_and_predict(self, x):
        """Returns h(f(x)) and f(x), both of unit length, and the backbone's features."""
        features = self.query_encoder.features(x, training=True)
        z = self.query_encoder.head(features, training=True)
        p = self.predictor(z, training=True)
        return self.query_encoder.normalize(p), self.query_encoder.normalize(z), features


def distance(p, z):
    """Returns the negative cosine of predictions and what they are to meet, where no gradient goes."""
    return -tf.reduce_mean(tf.reduce_sum(p * tf.stop_gradient(z), axis=1))


def projector(features, dim):
    """Returns the head `features` → `features` → `features` → `dim`, batch norm after each (§3)."""
    layers = [
        vectors(features),
        linear(features, features, "fc.0", bias=False),
        BatchNormReLU(name="fc.1"),
        linear(features, features, "fc.3", bias=False),
        BatchNormReLU(name="fc.4"),
        linear(features, dim, "fc.6", bias=False),
        BatchNorm(affine=False, name="fc.7"),
    ]
    return keras.Sequential(layers, name="head")


def predictor(dim, hidden):
    """Returns h, `dim` → `hidden` → `dim`, without batch norm or ReLU at its end (§3)."""
    layers = [
        vectors(dim),
        linear(dim, hidden, "fc.0", bias=False),
        BatchNormReLU(name="fc.1"),
        linear(hidden, dim, "fc.3"),
    ]
    h = keras.Sequential(layers, name="predictor")
    synchronize(h)
    return h
