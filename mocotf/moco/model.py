"""MoCo: Algorithm 1 of arXiv 1911.05722 as a Keras model."""

import functools

import tensorflow as tf

from mocotf.moco import micro_batches
from mocotf.moco.key_encoder import momentum_update
from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce
from mocotf.moco.mechanism import Mechanism
from mocotf.moco.metrics import similarities
from mocotf.moco.metrics import spread
from mocotf.moco.metrics import summary
from mocotf.moco.queue import Queue
from mocotf.moco.queue import mean_age
from mocotf.moco.shuffle import check_shuffle
from mocotf.moco.shuffle import encode_shuffled


class MoCo(Mechanism):
    """Momentum Contrast v1 and v2; which of them is a matter of head, augmentation and T.

    Args:
        query_encoder, key_encoder: see `Mechanism`; f_k follows f_q.
        K: keys in the queue, at least those enqueued a step.
        m: momentum of θk, in [0, 1): θk ← m·θk + (1 - m)·θq.
        symmetric: sum the loss of both directions, each view once query and once key.
        shuffle: who permutes key images over replicas and BN groups: "gather" the step, which gathers
            them; "input" the input pipeline, see `shuffle_keys`; "off" nobody.
        grad_accum_steps: A, the micro-batches a step's batch is taken in, one after another, each a
            contiguous part of a replica's share.
        more: T, seed, augment and probe, see `Mechanism`.

    Raises:
        UserError: `shuffle` is none of these, or "input" with `symmetric`.
    """

    def __init__(
        self,
        query_encoder,
        key_encoder,
        *,
        K,
        m,
        symmetric=False,
        shuffle="gather",
        grad_accum_steps=1,
        **more,
    ):
        super().__init__(query_encoder, key_encoder, name="moco", **more)
        check_shuffle(shuffle, symmetric)
        self.queue = Queue(K, self.C, seed=self.seed, dtype=self.loss_dtype)
        self.m = m
        self.symmetric = symmetric
        self.shuffle = shuffle
        self.A = grad_accum_steps

    @property
    def chance(self):
        return chance(self.queue.K, directions=1 + self.symmetric)

    def steps_to_fill(self, batch_size):
        return self.queue.K / (batch_size * (1 + self.symmetric))

    def parts(self):
        return super().parts() | {
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
        (x_q, x_k), labels, _ = self.unpack(batch)
        directions = [(x_q, x_k), (x_k, x_q)] if self.symmetric else [(x_q, x_k)]

        momentum_update(self.key_encoder, self.query_encoder, self.m)
        keys = [self.encode_keys(x_k, d) for d, (_, x_k) in enumerate(directions)]
        pairs = [(x_q, k) for (x_q, _), (k, _) in zip(directions, keys, strict=True)]

        zeros = (
            [tf.zeros(v.shape, v.dtype) for v in self.learned],
            dict.fromkeys(self.metric_names, 0.0),
        )
        gradients, metrics = micro_batches.mean(self.contrast, (pairs, labels), self.A, zeros)
        metrics |= self.descend(gradients)

        # After the loss: today's keys are no negatives today.
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

    def encode_keys(self, x_k, direction=0):
        """Encodes this replica's key images under shuffled BN, without gradient.

        Args:
            x_k: `[n, H, W, 3]`; with shuffle "input" the share of the permuted batch.
            direction: 0, or 1 for the second half of the symmetric loss; each permutes anew.

        Returns:
            (k, all_k): the keys of this replica's queries `[n, C]`, and of all queries `[N, C]`.
        """
        return encode_shuffled(
            self.f_k,
            x_k,
            shuffle=self.shuffle,
            seed=self.seed,
            step=self.optimizer.iterations.value,
            direction=direction,
            A=self.A,
        )

    def f_k(self, x_k):
        """Returns the keys `[n, C]` of images, in the order given, each micro-batch for itself."""
        spec = tf.TensorSpec([None, self.C], self.queue.keys.dtype)
        encode = functools.partial(self.key_encoder, training=True)
        return micro_batches.join(encode, x_k, self.A, spec)
