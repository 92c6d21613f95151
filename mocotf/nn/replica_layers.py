"""Keras's own batch norm and random numbers as MoCo needs them, in models that others have made."""

import keras
import tensorflow as tf

from mocotf.nn.batch_norm import batch_norms
from mocotf.nn.batch_norm import normalize_by_batch

PRIME = 2_147_483_629  # by which the seeds of replicas differ


class GroupBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` that in training normalises as `BatchNorm` does.

    That is by the statistics of each of `groups` slices of the batch, whatever `trainable` says; the
    moving variance takes the unbiased batch variance, and each replica keeps its own statistics.
    Momentum, epsilon, scale, centre and `synchronized` are the layer's own.

    Made of a layer by `adapt`.
    """

    groups = 1

    def build(self, input_shape):
        super().build(input_shape)
        self.keep_statistics_local()

    def keep_statistics_local(self):
        """Lets each replica have moving statistics of its own, of which replica 0's are saved."""
        for moving in (self.moving_mean, self.moving_variance):
            keep_local(moving)

    def call(self, inputs, training=False, mask=None):
        if not training:
            return super().call(inputs, training=False, mask=mask)
        x = tf.cast(inputs, self.compute_dtype)
        dtype = self.moving_mean.dtype
        channels = self.moving_mean.shape
        y, *batch = normalize_by_batch(
            x,
            tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels, dtype),
            tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels, dtype),
            self.epsilon,
            groups=self.groups,
            synchronized=self.synchronized,
        )
        for moving, value in zip((self.moving_mean, self.moving_variance), batch, strict=True):
            moving.assign(self.momentum * moving.value + (1 - self.momentum) * value)
        return y


class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """`keras.random.SeedGenerator` whose replicas draw differently, each time anew.

    Made of a generator by `adapt`.
    """

    def next(self, ordered=True):
        del ordered  # what follows is one in any case
        state = self.state.value
        seed, count = tf.unstack(state * 1)
        self.state.assign(state + tf.constant([0, 1], state.dtype))
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        return tf.stack([seed + PRIME * tf.cast(replica, state.dtype), count])


def adapt(model, *, bn_splits=1, seeds=None):
    """Makes the batch norm and the random numbers of a model, in place, what MoCo needs.

    Args:
        model: a `keras.Model` that nobody else has, and that has not been traced.
        bn_splits: groups of a batch, for all batch norm, Keras's or ours.
        seeds: a `random.Random` that seeds what draws in training; None leaves the seeds.
    """
    for norm in batch_norms(model):
        if isinstance(norm, keras.layers.BatchNormalization):
            norm.__class__ = GroupBatchNormalization
            if norm.built:
                norm.keep_statistics_local()
        norm.groups = bn_splits
    for generator in seed_generators(model):
        generator.__class__ = ReplicaSeedGenerator
        keep_local(generator.state)
        if seeds:
            generator.state.assign([seeds.randrange(2**31), 0])


def seed_generators(model):
    """Returns what draws random numbers in a model's layers, in their order, each once."""
    found = {id(g): g for layer in model._flatten_layers() for g in layer._seed_generators}
    return list(found.values())


def keep_local(variable):
    """Gives each replica a copy of its own of a built `keras.Variable`, which it alone writes."""
    # `add_weight`, by which layers have made it, does not know `synchronization`.
    variable._synchronization, variable._aggregation = "on_read", "only_first_replica"
    variable._initialize(tf.constant(variable.numpy()))
