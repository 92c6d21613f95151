"""A backbone with linear classifiers on top: the linear protocol and fine-tuning."""

import keras
import tensorflow as tf

from mocotf.metrics import Metric
from mocotf.training.trainer import Trainer

STD = 0.01  # of new weights, as in the papers' protocol (arXiv 1911.05722, §4.1)


class Classifier(Trainer):
    """Maps images to class scores by one or several linear layers, and learns by cross-entropy.

    Several layers, each with a learning rate of its own, are a sweep in one run: each learns as if it
    were alone, where the backbone is frozen.

    Args:
        backbone: a built `keras.Model`, images `[n, S, S, 3]` → features `[n, C]`.
        classes: how many.
        heads: names of the linear layers; `SGD`'s lr_scales know them by these.
        tune: train the backbone as well, its batch norm in training mode; else nothing in it changes.
        seed: of the new weights.
    """

    METRICS = (
        *Trainer.METRICS,
        Metric("acc1", "pretext/acc1", "Top-1 in training, %", "of a batch", short="acc1"),
        Metric("acc5", "pretext/acc5", short="acc5"),
    )

    def __init__(self, backbone, classes, *, heads=("fc",), tune=False, seed=0):
        super().__init__(name="classifier")
        self.backbone = backbone
        self.tune = tune
        normal = keras.initializers.RandomNormal(stddev=STD, seed=seed)
        self.heads = [
            keras.layers.Dense(classes, kernel_initializer=normal, dtype="float32", name=name)
            for name in heads
        ]
        for head in self.heads:
            head.build((None, backbone.output_shape[-1]))
        self.built = True

    @property
    def trained_variables(self):
        tuned = self.backbone.trainable_variables if self.tune else []
        return [*tuned, *(v for head in self.heads for v in head.trainable_variables)]

    def variable_groups(self):
        return {"backbone": self.backbone.variables} | {h.name: h.variables for h in self.heads}

    def call(self, images, training=False):
        """Returns the scores `[n, heads, classes]`, float32, of images `[n, S, S, 3]`."""
        features = self.backbone(images, training=training and self.tune)
        if not self.tune:
            features = tf.stop_gradient(features)
        features = tf.cast(features, tf.float32)
        return tf.stack([head(features) for head in self.heads], axis=1)

    def train_step(self, batch):
        """One step on this replica's share of the global batch: images `[n, S, S, 3]`, labels `[n]`.

        Returns float32 scalars: `loss`; `acc1`, `acc5`, top-1 and top-5 on the batch in percent, each
        of the head that is best at it; `gradient_norm`.
        """
        x, labels = batch
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        with tf.GradientTape() as tape:
            scores = self(x, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.repeat(labels[:, None], len(self.heads), axis=1), scores
            )  # [n, heads]
            losses = tf.reduce_mean(losses, axis=0)
            # The optimizer sums gradients over replicas; the loss is their mean. Summed over heads,
            # each has the gradient that it would have alone.
            scaled_loss = self.optimizer.scale_loss(tf.reduce_sum(losses) / replicas)
        gradients = tape.gradient(scaled_loss, [v.value for v in self.trained_variables])
        rank = ranks(scores, labels)
        found = {
            "loss": tf.reduce_min(losses),
            "acc1": percent(rank < 1),
            "acc5": percent(rank < 5),
        }
        return found | self.descend(gradients)


def ranks(scores, labels):
    """Returns how many other classes have at least the right one's score, int32 `[n, heads]`.

    Args:
        scores: `[n, heads, classes]`; NaN counts against the right class.
        labels: int64 `[n]`.
    """
    right = tf.gather(scores, labels, axis=2, batch_dims=1)  # [n, heads]
    lower = scores < right[..., None]
    return tf.reduce_sum(tf.cast(~lower, tf.int32), axis=2) - 1


def percent(hits):
    """Returns the largest share of True of a head in percent, float32, of hits `[n, heads]`."""
    return 100 * tf.reduce_max(tf.reduce_mean(tf.cast(hits, tf.float32), axis=0))
