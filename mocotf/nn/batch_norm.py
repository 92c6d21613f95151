"""Batch normalisation as PyTorch computes it, by batch statistics of groups or of all replicas."""

import keras
import tensorflow as tf

from mocotf.nn.kernels import policy


@keras.saving.register_keras_serializable("mocotf")
class BatchNorm(keras.layers.Layer):
    """Normalises channels-last images by batch statistics, in `groups` independent slices of the batch.

    Differs from `keras.layers.BatchNormalization` in what MoCo depends on: the kernel is fused; the
    moving variance takes the unbiased batch variance, as in PyTorch; `trainable = False` does not
    switch to inference; and every replica keeps its own moving statistics, of which replica 0's are
    read and saved, as under PyTorch's DDP.

    Args:
        groups: number of contiguous, equal slices of the batch with statistics of their own
            (MoCo's shuffled BN on one device). The moving statistics take the mean over groups.
        affine: whether γ and β are trained; else they stay 1 and 0.
        momentum: weight of the old moving statistics, in [0, 1].
        epsilon: added to the variance.

    Attributes:
        synchronized: statistics are of the batch of all replicas, see `synchronize`.

    Call: `x` float `[n, H, W, C]` or `[n, C]`, float16/bfloat16/float32/float64; returns the same shape
    and dtype.

    Raises:
        ValueError: where the batch is statically known not to divide by `groups`.
    """

    relu = False  # whether the result is max(·, 0)

    def __init__(self, groups=1, affine=True, momentum=0.9, epsilon=1e-5, synchronized=False, **kwargs):
        super().__init__(**kwargs)
        self.groups = groups
        self.affine = affine
        self.synchronized = synchronized
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        self.gamma = self._per_channel("gamma", "ones", input_shape[-1], trainable=self.affine)
        self.beta = self._per_channel("beta", "zeros", input_shape[-1], trainable=self.affine)
        local = {"synchronization": "on_read", "aggregation": "only_first_replica", "trainable": False}
        self.moving_mean = self._per_channel("moving_mean", "zeros", input_shape[-1], **local)
        self.moving_variance = self._per_channel("moving_variance", "ones", input_shape[-1], **local)

    def _per_channel(self, name, initializer, channels, **kwargs):
        # Statistics and affine parameters stay float32 where activations are bfloat16. (`add_weight`
        # does not know `synchronization`.)
        kwargs |= {"dtype": self.variable_dtype, "autocast": False, "name": name}
        return keras.Variable(initializer, shape=(channels,), **kwargs)

    def call(self, x, training=False):
        return self._normalize(x, None, training)

    def _normalize(self, x, shortcut, training):
        affine = tf.convert_to_tensor(self.gamma.value), tf.convert_to_tensor(self.beta.value)
        if not training:
            statistics = self.moving_mean.value, self.moving_variance.value
            return _finish(_normalize_by(*statistics, x, *affine, self.epsilon), shortcut, self.relu)
        options = {"groups": self.groups, "synchronized": self.synchronized}
        options |= {"shortcut": shortcut, "relu": self.relu}
        y, *batch = normalize_by_batch(x, *affine, self.epsilon, **options)
        for moving, value in zip((self.moving_mean, self.moving_variance), batch, strict=True):
            moving.assign(self.momentum * moving.value + (1 - self.momentum) * value)
        return y

    def get_config(self):
        names = ("groups", "affine", "momentum", "epsilon", "synchronized")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("mocotf")
class BatchNormReLU(BatchNorm):
    """`BatchNorm` and the ReLU of its result."""

    relu = True


@keras.saving.register_keras_serializable("mocotf")
class BatchNormAddReLU(BatchNormReLU):
    """The end of a residual block: `BatchNorm`, plus a shortcut like x, and the ReLU of the sum."""

    def call(self, x, shortcut, training=False):
        return self._normalize(x, shortcut, training)


def synchronize(model):
    """Makes all batch norm in a model take the statistics of the batch of all replicas, in training."""
    for norm in batch_norms(model):
        norm.synchronized = True


def batch_norms(model):
    """Returns the layers of a model that are batch norm, Keras's or ours."""
    kinds = BatchNorm | keras.layers.BatchNormalization
    return [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]


def normalize_by_batch(
    x, gamma, beta, epsilon, *, groups=1, shortcut=None, relu=False, synchronized=False
):
    """Returns γ (x - μ) / √(σ² + ε) + β [+ shortcut], none below 0 if `relu`, and the batch's μ and σ².

    Args:
        x: float16, bfloat16, float32 or float64, `[n, C]` or `[n, …, C]`, channels last.
        gamma, beta: `[C]`, tensors, float64 where x is, else float32.
        epsilon: a number, added to the variance, which is biased here.
        groups: number of contiguous, equal slices of the batch with statistics of their own.
        shortcut: None, or of x's shape and dtype.
        synchronized: statistics are of the batch of all replicas, and `groups` means nothing.

    Returns:
        The result, of x's shape and dtype; the mean and the unbiased variance, `[C]`, of gamma's dtype,
        which are means over groups: what moving statistics follow.

    Raises:
        ValueError: the batch is statically known not to divide by `groups`.
    """
    if x.shape[0] is not None and x.shape[0] % groups:
        raise ValueError(f"A batch of {x.shape[0]} does not divide into {groups} BN groups.")
    if len(x.shape) != 4:
        shortcut = None if shortcut is None else _as_images(shortcut)
        options = {"groups": groups, "shortcut": shortcut, "relu": relu, "synchronized": synchronized}
        y, *statistics = normalize_by_batch(_as_images(x), gamma, beta, epsilon, **options)
        return tf.reshape(y, tf.shape(x)), *statistics
    if synchronized and _replicas() > 1:
        y, mean, variance = _normalize_by_global_batch(x, gamma, beta, epsilon)
        return _finish(y, shortcut, relu), mean, variance
    if kernel := policy.batch_norm_for(x, groups):
        options = {"groups": groups, "shortcut": shortcut, "relu": relu}
        y, means, variances = kernel(x, gamma, beta, epsilon, **options)
        variances = _unbiased(variances, x)
    else:
        slices = [_normalize_group(part, gamma, beta, epsilon) for part in tf.split(x, groups)]
        ys, means, variances = zip(*slices, strict=True)
        y = _finish(tf.concat(ys, axis=0) if groups > 1 else ys[0], shortcut, relu)
    # AddN's order depends on which of its inputs is let go of first: it would not repeat.
    return y, *(tf.reduce_mean(tf.stack(values), 0) for values in (means, variances))


def _normalize_group(x, gamma, beta, epsilon):
    """Returns x normalised by its own statistics, its mean, and its unbiased variance."""
    if x.dtype != tf.float64:
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
        )
        return y, mean, variance
    mean, biased = tf.nn.moments(x, axes=[0, 1, 2])
    return _formula(mean, biased, x, gamma, beta, epsilon), mean, _unbiased(biased, x)


def _normalize_by_global_batch(x, gamma, beta, epsilon):
    """Returns what `_normalize_group` does, by the batch of all replicas."""
    replica, replicas = tf.distribute.get_replica_context(), _replicas()
    wide = tf.cast(x, gamma.dtype)
    own = tf.stack(tf.nn.moments(wide, axes=[0, 1, 2]))  # [2, C]
    # A sum in which each replica has a row of its own: in it nothing is lost.
    row = tf.one_hot(replica.replica_id_in_sync_group, replicas, dtype=own.dtype)
    own = row[:, None, None] * own
    means, variances = tf.unstack(replica.all_reduce(tf.distribute.ReduceOp.SUM, own), axis=1)
    mean = tf.reduce_mean(means, axis=0)
    variance = tf.reduce_mean(variances, axis=0) + tf.math.reduce_variance(means, axis=0)
    y = _formula(mean, variance, wide, gamma, beta, epsilon)
    return tf.cast(y, x.dtype), mean, _unbiased(variance, x, replicas)


def _replicas():
    """Returns the replicas that take a step together; 1 outside of a step."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def _normalize_by(mean, variance, x, gamma, beta, epsilon):
    """Returns x normalised by statistics that are given."""
    if x.dtype == tf.float64:  # the fused kernel takes none; the fidelity tests need it
        return _formula(mean, variance, x, gamma, beta, epsilon)
    options = {"mean": mean, "variance": variance, "epsilon": epsilon, "is_training": False}
    y, *_ = tf.raw_ops.FusedBatchNormV3(x=_as_images(x), scale=gamma, offset=beta, **options)
    return tf.reshape(y, tf.shape(x)) if len(x.shape) != 4 else y


def _formula(mean, variance, x, gamma, beta, epsilon):
    return (x - mean) * (gamma * tf.math.rsqrt(variance + epsilon)) + beta


def _finish(y, shortcut, relu):
    if shortcut is not None:
        y += shortcut
    return tf.nn.relu(y) if relu else y


def _unbiased(variance, x, replicas=1):
    count = tf.cast(replicas * (tf.size(x) // tf.size(variance)), variance.dtype)  # of pixels
    return variance * count / tf.maximum(count - 1, 1)


def _as_images(x):
    """Returns x `[n, …, C]` as images, `[n, pixels, 1, C]`."""
    if len(x.shape) == 4:
        return x
    pixels = x.shape[1:-1].num_elements()
    return tf.reshape(x, [-1 if pixels else tf.shape(x)[0], pixels or -1, 1, x.shape[-1]])
