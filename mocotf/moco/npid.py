"""Non-Parametric Instance Discrimination, NPID (arXiv 1805.01978)."""

import dataclasses
import math

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.metrics import Metric
from mocotf.moco.bank import BankSettings
from mocotf.moco.bank import draw_rows
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce_among
from mocotf.moco.loss import nce
from mocotf.moco.loss import nce_chance
from mocotf.moco.loss import rank_of
from mocotf.moco.memory_bank import MemoryBank
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary
from mocotf.moco.per_replica import per_replica_variable
from mocotf.nn.products import products_with
from mocotf.settings import setting
from mocotf.training.collectives import all_gather
from mocotf.training.collectives import own_share


@dataclasses.dataclass(frozen=True)
class NPIDSettings(BankSettings):
    """The softmax over images, and the proximal term."""

    GROUP = "npid"

    npid_softmax: str = setting(
        "nce",
        "What npid's softmax is over. nce: --moco_k negatives for each image, by "
        "noise-contrastive estimation; full: all images.",
        choices=("nce", "full"),
    )
    proximal: float = setting(
        30.0,
        "Weight of npid's proximal term, which keeps an image's vector near its last value; 0 for "
        "none.",
        low=0,
    )

    def check(self, given=None):
        super().check(given)
        if self.shard_bank and self.npid_softmax == "full":
            raise UserError(
                "--shard_bank with --npid_softmax=full, which needs all entries at once; try "
                "--npid_softmax=nce"
            )


class NPID(MemoryBank):
    """Each image is a class whose weight vector is its entry in the bank.

    The softmax over all images is learned by noise-contrastive estimation, with K negatives drawn for
    each query and a normalising constant Z that is estimated in the first step; or in full.

    Args:
        backbone, bank: as of `MemoryBank`.
        K: m of the paper, negatives of a query; None for the softmax in full.
        proximal: λ of Eq. 9, which holds an image's vector to what it was before.
        more: see `Contrastive`.
    """

    NAME = "npid"
    SUMMARY = "the same, as weights of a softmax over all images"
    SETTINGS = NPIDSettings
    METRICS = (*MemoryBank.METRICS, Metric("proximal", "pretext/proximal"))

    def __init__(self, backbone, *, bank, K, proximal, **more):
        super().__init__(backbone, bank=bank, K=K, **more)
        self.proximal = proximal
        self.log_Z = per_replica_variable(tf.zeros([], self.loss_dtype), "log_Z")

    @classmethod
    def build(cls, backbone, settings, setup, **common):
        return super().build(backbone, settings, setup, proximal=settings.proximal, **common)

    @classmethod
    def negatives(cls, settings):
        return settings.moco_k if settings.npid_softmax == "nce" else None

    @property
    def chance(self):
        return nce_chance(self.K) if self.K else chance(self.bank.N - 1)

    def variable_groups(self):
        parts = super().variable_groups()
        return parts | {"bank": parts["bank"] | {"log_Z": self.log_Z}}

    def train_step(self, batch):
        """One step on this replica's share of the global batch; see `MoCo.train_step`.

        Reports beside it `proximal`, λ‖v⁽ᵗ⁾ - v⁽ᵗ⁻¹⁾‖²: no part of `loss`, but minimised with it.
        """
        (x,), labels, rows = self.unpack(batch)
        v = self.bank.read(rows)  # [n, C]
        with tf.GradientTape() as tape:
            f, features = self.query_encoder(x, training=True, with_features=True)  # [n, C]
            loss, rank, similarities = self.discriminate(f, v, rows)
            proximal = self.proximal * tf.reduce_mean(tf.reduce_sum((f - v) ** 2, axis=1))
            total = loss + proximal
        metrics = summary(loss, rank, [(spread(f), *similarities)])
        metrics |= {"proximal": tf.cast(proximal, tf.float32)} | self.descend(
            self.gradients(tape, total)
        )
        self.bank.update(rows, f)
        return metrics | self.probe_features(features, labels)

    def discriminate(self, f, v, rows):
        """Returns what `info_nce_among` does, for f `[n, C]` of images `rows` that have entries v."""
        if not self.K:
            return info_nce_among(f, self.bank.all(), rows, self.T)
        v_j = self.bank.read(self.draw_negatives(f))  # [n, K, C]
        cosine = tf.reduce_sum(f * v, axis=1)  # [n]
        cosines = products_with(v_j, f)  # [n, K]
        loss = nce(cosine / self.T, cosines / self.T, self.normalise(cosines / self.T), self.bank.N)
        similarities = [tf.stop_gradient(tf.reduce_mean(x)) for x in (cosine, cosines)]
        return loss, rank_of(cosine, cosines), similarities

    def draw_negatives(self, f):
        """Returns the images `[n, K]` that are negatives of this replica's queries."""
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        shape = [replicas * tf.shape(f)[0], self.K]
        return own_share(draw_rows(self.seed, self.optimizer.iterations.value, shape, self.bank.N))

    def normalise(self, negatives):
        """Returns log Z: Z ≈ N · mean exp(logit) of the negatives `[n, K]` of all replicas in the first
        step, the same ever after (Eq. 6)."""
        count = tf.cast(tf.size(negatives), negatives.dtype)
        mean = tf.reduce_logsumexp(tf.stop_gradient(negatives)) - tf.math.log(count)
        means = all_gather(mean[None])  # of replicas
        replicas = tf.cast(tf.size(means), means.dtype)
        estimate = math.log(self.bank.N) + tf.reduce_logsumexp(means) - tf.math.log(replicas)
        first = self.optimizer.iterations.value == 0
        self.log_Z.assign(tf.where(first, estimate, self.log_Z))
        return tf.where(first, estimate, self.log_Z)
