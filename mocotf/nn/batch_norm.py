"""Batch normalisation as PyTorch computes it, on TensorFlow's fused kernel."""

import keras
import tensorflow as tf

from mocotf.nn import fused_norm
from mocotf.nn import hot
from mocotf.nn import xla
from mocotf.nn import xla_norm


@keras.saving.register_keras_serializable("mocotf")
class BatchNorm(keras.layers.Layer):
    """Normalises channels-last images by batch statistics, in `groups` independent slices of the batch.

    It may add a shortcut and take the ReLU, which saves passes over memory on a CPU.

    Differs from `keras.layers.BatchNormalization` in what MoCo depends on: the kernel is fused; the
    moving variance takes the unbiased batch variance, as in PyTorch; `trainable = False` does not
    switch to inference; and every replica keeps its own moving statistics, of which replica 0's are
    read and saved, as under PyTorch's DDP.

    Args:
        groups: number of contiguous, equal slices of the batch with statistics of their own
            (MoCo's shuffled BN on one device). The moving statistics take the mean over groups.
        relu: whether the result is max(·, 0).
        affine: whether γ and β are trained; else they stay 1 and 0.
        momentum: weight of the old moving statistics, in [0, 1].
        epsilon: added to the variance.

    Attributes:
        synchronized: statistics are of the batch of all replicas, see `synchronize`.

    Call: `x` float `[n, H, W, C]` or `[n, C]`, float16/bfloat16/float32/float64, and `shortcut`, None
    or the same; returns the same shape and dtype.

    Raises:
        ValueError: where the batch is statically known not to divide by `groups`.
    """

    def __init__(
        self,
        groups=1,
        relu=False,
        affine=True,
        momentum=0.9,
        epsilon=1e-5,
        synchronized=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.groups = groups
        self.relu = relu
        self.affine = affine
        self.synchronized = synchronized
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        self.gamma = self._per_channel("gamma", "ones", input_shape[-1], trainable=self.affine)
        self.beta = self._per_channel("beta", "zeros", input_shape[-1], trainable=self.affine)
        # `add_weight` does not know `synchronization`.
        local = {
            "trainable": False,
            "synchronization": "on_read",
            "aggregation": "only_first_replica",
        }
        self.moving_mean = self._per_channel("moving_mean", "zeros", input_shape[-1], **local)
        self.moving_variance = self._per_channel("moving_variance", "ones", input_shape[-1], **local)

    def _per_channel(self, name, initializer, channels, **kwargs):
        # Statistics and affine parameters stay float32 where activations are bfloat16.
        return keras.Variable(
            initializer,
            shape=(channels,),
            dtype=self.variable_dtype,
            autocast=False,
            name=name,
            **kwargs,
        )

    def call(self, x, shortcut=None, training=False):
        if len(x.shape) == 2:
            return self.call(x[:, None, None], training=training)[:, 0, 0]
        if not training:
            y = self._normalize(x, self.moving_mean.value, self.moving_variance.value)
            return self._finish(y, shortcut)
        y, mean, variance = self._normalize_by_batch(x, shortcut)
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance)
        return y

    def _follow(self, moving, batch):
        moving.assign(self.momentum * moving.value + (1 - self.momentum) * batch)

    def _normalize_by_batch(self, x, shortcut):
        """Returns the result, and means over groups: of their means, of their unbiased variances."""
        if x.shape[0] is not None and x.shape[0] % self.groups:
            raise ValueError(f"A batch of {x.shape[0]} does not divide into {self.groups} BN groups.")
        if self.synchronized and _replicas() > 1:
            return self._normalize_by_global_batch(x, shortcut)
        if formula := _formula_for(x):
            affine = (tf.convert_to_tensor(v.value) for v in (self.gamma, self.beta))
            y, means, variances = formula.normalize(
                x, *affine, self.epsilon, groups=self.groups, shortcut=shortcut, relu=self.relu
            )
            variances = _unbiased(variances, x)
        else:
            shortcuts = [None] * self.groups if shortcut is None else tf.split(shortcut, self.groups)
            slices = map(self._normalize_group, tf.split(x, self.groups), shortcuts)
            ys, means, variances = zip(*slices, strict=True)
            y = ys[0] if self.groups == 1 else tf.concat(ys, axis=0)
        # AddN's order depends on which of its inputs is let go of first: it would not repeat.
        return y, *(tf.reduce_mean(tf.stack(values), 0) for values in (means, variances))

    def _normalize_by_global_batch(self, x, shortcut):
        """Returns what `_normalize_by_batch` does, by the batch of all replicas."""
        replica, replicas = tf.distribute.get_replica_context(), _replicas()
        wide = tf.cast(x, self.gamma.dtype)
        own = tf.stack(tf.nn.moments(wide, axes=[0, 1, 2]))  # [2, C]
        # A sum in which each replica has a row of its own: in it nothing is lost.
        row = tf.one_hot(replica.replica_id_in_sync_group, replicas, dtype=own.dtype)
        own = row[:, None, None] * own
        means, variances = tf.unstack(replica.all_reduce(tf.distribute.ReduceOp.SUM, own), axis=1)
        mean = tf.reduce_mean(means, axis=0)
        variance = tf.reduce_mean(variances, axis=0) + tf.math.reduce_variance(means, axis=0)
        y = tf.cast(self._normalize_by_formula(wide, mean, variance), x.dtype)
        return self._finish(y, shortcut, training=True), mean, _unbiased(variance, x, replicas)

    def _normalize_group(self, x, shortcut):
        """Returns the result by x's own statistics, its mean, and its unbiased variance."""
        if x.dtype != tf.float64:
            y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x,
                scale=self.gamma.value,
                offset=self.beta.value,
                mean=[],
                variance=[],
                epsilon=self.epsilon,
                is_training=True,
            )
            return self._finish(y, shortcut, training=True), mean, variance
        mean, biased = tf.nn.moments(x, axes=[0, 1, 2])
        y = self._finish(self._normalize(x, mean, biased), shortcut, training=True)
        return y, mean, _unbiased(biased, x)

    def _finish(self, y, shortcut, training=False):
        if shortcut is not None:
            if self.relu and training and hot.on_cpu():
                return hot.add_relu(y, shortcut)
            y += shortcut
        return tf.nn.relu(y) if self.relu else y

    def _normalize(self, x, mean, variance):
        if x.dtype != tf.float64:
            return tf.raw_ops.FusedBatchNormV3(
                x=x,
                scale=self.gamma.value,
                offset=self.beta.value,
                mean=mean,
                variance=variance,
                epsilon=self.epsilon,
                is_training=False,
            ).y
        # The fused kernel takes no float64; the fidelity tests need it.
        return self._normalize_by_formula(x, mean, variance)

    def _normalize_by_formula(self, x, mean, variance):
        gain = self.gamma.value * tf.math.rsqrt(variance + self.epsilon)
        return (x - mean) * gain + self.beta.value

    def get_config(self):
        names = ("groups", "relu", "affine", "momentum", "epsilon", "synchronized")
        return super().get_config() | {name: getattr(self, name) for name in names}


def synchronize(model):
    """Makes all batch norm in a model take the statistics of the batch of all replicas, in training."""
    for layer in model._flatten_layers():
        if isinstance(layer, BatchNorm | keras.layers.BatchNormalization):
            layer.synchronized = True


def _replicas():
    """Returns the replicas that take a step together; 1 outside of a step."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def _formula_for(x):
    """Returns the module whose `normalize` is faster for x than TensorFlow's operator, or None."""
    if xla.compiles_this():
        return xla_norm
    return fused_norm if hot.on_cpu() and fused_norm.is_faster_for(x) else None


def _unbiased(variance, x, replicas=1):
    count = tf.cast(replicas * (tf.size(x) // tf.size(variance)), variance.dtype)  # of pixels
    return variance * count / tf.maximum(count - 1, 1)
