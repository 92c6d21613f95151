"""What all mechanisms share that learn to tell an image's key from those of others."""

import math
import types

import tensorflow as tf

from mocotf.moco.key_encoder import copy_weights
from mocotf.moco.metrics import METRICS
from mocotf.moco.probe import METRICS as PROBE_METRICS
from mocotf.moco.trainer import Trainer
from mocotf.moco.trainer import norm


class Mechanism(Trainer):
    """A query encoder, and a way to the keys that its queries are compared with.

    Create it, compile it with an `mocotf.optim.sgd.SGD` built for `learned`, and `fit` it inside a
    strategy's scope on a dataset of batches: VIEWS views `[N, H, W, 3]`, or what `augment` makes views
    of; then with a probe labels `[N]`; then with INDEXED the images' indices, int64 `[N]`.

    Args:
        query_encoder: f_q, a built `Encoder`; trained by back-propagation.
        key_encoder: f_k, of the same structure, or None; starts as a copy of f_q.
        T: temperature.
        seed: of all that the step draws.
        augment: makes the views of a batch, on the device; None where batches are views already.
        probe: a `Probe` that learns beside the encoder. None for none.

    Attributes:
        VIEWS: of an image, that a step takes.
        INDEXED: whether batches tell the images' indices in the data set.
        CURES: see `Alarms`.
    """

    VIEWS = 2
    INDEXED = False
    CURES = types.MappingProxyType(
        {
            "leak": "for a leak through batch norm (--shuffle_bn, --bn_splits) and whether the two "
            "views differ at all",
            "chance": "--lr, --moco_m (too small?) and at the views in TensorBoard",
        }
    )

    def __init__(
        self, query_encoder, key_encoder=None, *, T, seed=0, augment=None, probe=None, name=None
    ):
        super().__init__(name=name)
        self.query_encoder = query_encoder
        self.key_encoder = key_encoder
        self.T = T
        self.seed = seed
        self.augment = augment
        self.probe = probe
        self.start_keys()
        self.built = True

    @property
    def chance(self):
        """The loss of a model that has learned nothing."""
        raise NotImplementedError

    @property
    def learned(self):
        """The variables that the optimizer trains."""
        return self.query_encoder.trainable_variables

    @property
    def C(self):  # noqa: N802  (the papers' letter)
        """Dimension of queries and keys."""
        return self.query_encoder.head.output_shape[-1]

    @property
    def loss_dtype(self):
        """The type that losses are computed in, and what they need is kept in: at least float32."""
        return tf.float64 if self.query_encoder.compute_dtype == "float64" else tf.float32

    @property
    def metric_names(self):
        """Names of what `summary` and the probe report."""
        return METRICS + (PROBE_METRICS if self.probe else ())

    def steps_to_fill(self, batch_size):
        """Returns the steps until all negatives are encoded images: until then they are noise."""
        del batch_size
        return 0

    def start_keys(self):
        """Makes f_k the copy of f_q that it starts as: θk ← θq, BN statistics too."""
        if self.key_encoder:
            copy_weights(self.query_encoder, self.key_encoder)

    def parts(self):
        parts = {"query_encoder": self.query_encoder.variables}
        if self.key_encoder:
            parts["key_encoder"] = self.key_encoder.variables
        return parts | ({"probe": self.probe.named} if self.probe else {})

    def watched(self, record, batch_size):
        del batch_size
        return {
            "embedding_std": record["feature_std"] / math.sqrt(self.C),
            "uniform_std": 1 / math.sqrt(self.C),
            "weight_norm": norm(self.query_encoder.trainable_variables),
        }

    def call(self, images, training=False):
        """Returns the query encoder's embeddings `[n, C]` of images `[n, H, W, 3]`."""
        return self.query_encoder(images, training=training)

    def unpack(self, batch):
        """Returns (views, labels, indices) of a replica's batch; () for what it does not have."""
        *batch, indices = batch if self.INDEXED else (*batch, ())
        *batch, labels = batch if self.probe else (*batch, ())
        return self.augment(*batch) if self.augment else batch, labels, indices

    def probe_features(self, features, labels):
        """Lets the probe learn of features `[n, …]`; returns what it reports."""
        return self.probe.learn(features, labels) if self.probe else {}

    def gradients(self, tape, loss):
        """Returns the gradients, for the optimizer, of `learned`; `loss` is this replica's mean."""
        # The optimizer sums gradients over replicas; the method takes their mean.
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        scale = self.optimizer.scale_loss(tf.ones_like(loss) / replicas)
        return tape.gradient(loss, [v.value for v in self.learned], output_gradients=scale)

    def descend(self, gradients):
        """Takes the optimizer's step; returns what it reports."""
        self.optimizer.apply_gradients(zip(gradients, self.learned, strict=True))
        return {"gradient_norm": self.optimizer.gradient_norm.value}
