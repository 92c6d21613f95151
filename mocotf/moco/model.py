"""MoCo: Algorithm 1 of arXiv 1911.05722 as a Keras model."""

import dataclasses
from typing import Any

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.metrics import Metric
from mocotf.moco import micro_batches
from mocotf.moco.contrastive import NegativesSettings
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce
from mocotf.moco.mechanism import Backbone
from mocotf.moco.metrics import REPORTED
from mocotf.moco.metrics import similarities
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary
from mocotf.moco.momentum import momentum_update
from mocotf.moco.probe import METRICS as PROBE_METRICS
from mocotf.moco.queue import Queue
from mocotf.moco.queue import mean_age
from mocotf.moco.two_encoders import TwoEncoders
from mocotf.moco.two_encoders import TwoEncodersSettings
from mocotf.settings import setting


@dataclasses.dataclass(frozen=True)
class MoCoSettings(TwoEncodersSettings, NegativesSettings):
    """Queue, momentum, and how a batch is taken."""

    GROUP = "moco"

    moco_m: float = setting(
        0.999,
        "Momentum m of the key encoder: theta_k <- m theta_k + (1 - m) theta_q each step of moco.",
        low=0,
        high=1,
    )
    grad_accum_steps: int = setting(
        1,
        "Number of parts in which a replica computes its share of a batch, one after another, to "
        "need less memory; batch norm and shuffling work within a part.",
        low=1,
    )


class MoCo(TwoEncoders):
    """Momentum Contrast v1 and v2; which of them is a matter of head, augmentation and T.

    Args:
        backbone: see `TwoEncoders`; f_k follows f_q.
        K: keys in the queue, at least those enqueued a step.
        m: momentum of θk, in [0, 1]: θk ← m·θk + (1 - m)·θq.
        grad_accum_steps: A, the micro-batches a step's batch is taken in, one after another, each a
            contiguous part of a replica's share.
        more: symmetric, shuffle, T, dim, mlp, bn_splits, seed and others, see `TwoEncoders`.

    Examples:
        >>> images = keras.Input((32, 32, 3))
        >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(32, 3)(images))
        >>> model = mocotf.MoCo(keras.Model(images, features), K=256, m=0.99, T=0.2, mlp=True)
        >>> model.compile(keras.optimizers.AdamW(1e-3))
        >>> views = mocotf.two_crops("my_photos", batch_size=24, image_size=32)
        >>> _ = model.fit(views, epochs=1, verbose=0)
        >>> model.backbone.output.shape
        (None, 32)
    """

    NAME = "moco"
    SUMMARY = "a queue, and a key encoder that follows"
    SETTINGS = MoCoSettings
    METRICS = (
        *TwoEncoders.METRICS,
        Metric("m", "schedule/m"),
        Metric("queue_age", "health/queue_age"),
    )

    def __init__(
        self,
        backbone: Backbone,
        *,
        K: int = 65536,
        m: float = 0.999,
        grad_accum_steps: int = 1,
        **more: Any,
    ) -> None:
        super().__init__(backbone, **more)
        self.queue = Queue(K, self.C, seed=self.seed, dtype=self.loss_dtype)
        self.m = m
        self.A = grad_accum_steps

    @classmethod
    def check(cls, settings, setup):
        super().check(settings, setup)
        enqueued = setup.batch_size * (1 + settings.symmetric)
        if settings.moco_k < enqueued:
            raise UserError(
                f"--moco_k={settings.moco_k}: smaller than the {enqueued} keys enqueued a step; "
                f"expected at least that; try --moco_k={4 * enqueued}"
            )

    @classmethod
    def batch_factors(cls, settings, setup):
        own = {"grad_accum_steps": settings.grad_accum_steps}
        return super().batch_factors(settings, setup) | own

    @classmethod
    def advice(cls, settings, setup):
        found = super().advice(settings, setup)
        if settings.moco_k > setup.images:
            found.append(
                f"--moco_k={settings.moco_k} is larger than the data set ({setup.images} images): "
                "older keys of an image become its negatives; see docs/start/not_learning.md"
            )
        return found

    @classmethod
    def hints(cls, config):
        m, parts = config.own.moco_m, config.own.grad_accum_steps
        return super().hints(config) | {
            "chance": f"--moco_m={0.999 if m == 0.99 else 0.99}",
            "memory": f"--grad_accum_steps={2 * parts}",
        }

    @classmethod
    def build(cls, backbone, settings, setup, **common):
        del setup
        return cls(
            backbone,
            K=settings.moco_k,
            m=settings.moco_m,
            T=settings.moco_t,
            symmetric=settings.symmetric,
            shuffle=settings.shuffle_bn,
            grad_accum_steps=settings.grad_accum_steps,
            **common,
        )

    @property
    def chance(self):
        return chance(self.queue.K, directions=1 + self.symmetric)

    @property
    def most_images(self):
        return self.queue.K // (1 + self.symmetric)

    def steps_to_fill(self, batch_size):
        return self.queue.K / (batch_size * (1 + self.symmetric))

    def variable_groups(self):
        return super().variable_groups() | {
            "queue": {"keys": self.queue.keys, "pointer": self.queue.pointer},
        }

    def watched(self, record, batch_size):
        enqueued = batch_size * (1 + self.symmetric)
        return super().watched(record, batch_size) | {
            "m": self.m,
            "queue_age": mean_age(record["step"], enqueued, self.queue.K),
        }

    def train_step(self, batch):
        """One step on this replica's share of the global batch: `(x_q, x_k)`, each `[n, H, W, 3]`, or
        what `augment` makes them of; with a probe labels `[n]` follow.

        Returns float32 scalars: `loss`; `acc1`, `acc5`, the (K+1)-way pretext accuracy in percent;
        `feature_std`, how far queries are spread, 0 where all are the same, 1 where they are uniform on
        the sphere; `positive_similarity` and `negative_similarity`, the mean cosines of queries with
        their keys and with the queue; `gradient_norm`, over all replicas; and what the probe learns.
        """
        views, labels, _ = self.unpack(batch)
        directions = self.directions(*views)

        momentum_update(self.key_encoder, self.query_encoder, self.m)
        keys = [self.encode_keys(x_k, d) for d, (_, x_k) in enumerate(directions)]
        pairs = [(x_q, k) for (x_q, _), (k, _) in zip(directions, keys, strict=True)]

        names = REPORTED + (tuple(m.name for m in PROBE_METRICS) if self.probe else ())
        zeros = [tf.zeros(v.shape, v.dtype) for v in self.trained_variables], dict.fromkeys(names, 0.0)
        gradients, metrics = micro_batches.mean(self.contrast, (pairs, labels), self.A, zeros)
        metrics |= self.descend(gradients)

        # After the loss: a batch's keys are not its own negatives.
        self.queue.enqueue(tf.concat([all_k for _, all_k in keys], axis=0))
        return metrics

    def contrast(self, batch):
        """Contrasts queries with their keys and the queue.

        Args:
            batch: (x_q, k) of each direction, `[n, H, W, 3]` and `[n, C]`; and the probe's labels.

        Returns:
            (gradients of θq, metrics), the means over queries; see `train_step`.
        """
        pairs, labels = batch
        with tf.GradientTape() as tape:
            loss, ranks, looks = 0.0, [], []
            for x_q, k in pairs:
                q, features = self.query_encoder(x_q, training=True, with_features=True)  # [n, C]
                loss_d, rank = info_nce(q, k, self.queue.keys, self.T)
                loss += loss_d
                ranks.append(rank)
                looks.append((spread(q), *similarities(q, k, self.queue.keys)))
        metrics = summary(loss, tf.concat(ranks, axis=0), looks)
        return self.gradients(tape, loss), metrics | self.probe_features(features, labels)

    def f_k(self, x_k):
        """Returns the keys `[n, C]` of images, in the order given, each micro-batch for itself."""
        spec = tf.TensorSpec([None, self.C], self.queue.keys.dtype)
        return micro_batches.join(super().f_k, x_k, self.A, spec)
