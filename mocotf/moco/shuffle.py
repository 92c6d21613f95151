"""Shuffled batch norm (arXiv 1911.05722, §3.3): keys must not share statistics with their queries.

The key images of all replicas are permuted, encoded in the new order, and the keys put back, so that
the batch statistics a key sees come from another subset than its query's. Queries stay in place.
"""

import tensorflow as tf

from mocotf.training.collectives import all_gather
from mocotf.training.collectives import own_share

SHUFFLES = ("gather", "input", "off")  # who permutes: the step, the input pipeline, nobody


def encode_shuffled(f_k, x_k, *, shuffle, seed, step, direction=0, A=1):
    """Encodes this replica's key images under shuffled BN.

    Args:
        f_k: images `[n, H, W, 3]` → keys `[n, C]`.
        x_k: `[n, H, W, 3]`; with shuffle "input" the share of the permuted batch.
        shuffle: one of `SHUFFLES`.
        seed, step, direction: of the permutation.
        A: micro-batches that f_k takes its images in.

    Returns:
        (k, all_k): the keys of this replica's queries `[n, C]`, and of all queries `[N, C]`.
    """
    if shuffle == "off":
        k = f_k(x_k)
        return k, all_gather(k)
    n = tf.shape(x_k)[0]
    N = n * tf.distribute.get_replica_context().num_replicas_in_sync
    order = within_micro_batches(permutation(seed, step, direction, N), n, A)
    if shuffle == "gather":
        x_k = tf.gather(all_gather(x_k), own_share(order))
    all_k = tf.gather(all_gather(f_k(x_k)), tf.argsort(order))
    return own_share(all_k), all_k


def permutation(seed, step, direction, N):
    """Returns a random permutation of range(N), int32 `[N]`: a pure function of the arguments.

    Being stateless it is the same on every replica without communication, and after a resume.
    """
    # Named, for host, device and XLA must agree: left to choose, each draws otherwise from a key.
    alg = "philox"
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    key = tf.random.experimental.stateless_fold_in(key, tf.cast(direction, tf.int64), alg)
    draws = tf.random.stateless_uniform([N], key, None, None, tf.int32, alg=alg)
    return tf.argsort(draws, stable=True)


def within_micro_batches(order, n, A):
    """Returns the permutation that is `order` `[N]` within each micro-batch: images of one take places
    of the same, in the succession that `order` has them.

    Args:
        order: a permutation of range(N).
        n: images a replica.
        A: micro-batches; the a-th has the a-th of A contiguous parts of every replica's n.
    """
    if A == 1:
        return order
    micro_batch = tf.range(tf.size(order)) % n // (n // A)  # of an image, and of a place
    images = tf.gather(order, tf.argsort(tf.gather(micro_batch, order), stable=True))
    places = tf.argsort(micro_batch, stable=True)
    return tf.gather(images, tf.argsort(places))


def shuffle_keys(batches, seed, first_step=0, replicas=1, A=1):
    """Returns the batches that a model with shuffle "input" takes: key images permuted beforehand.

    Args:
        batches: dataset of global batches, `(x_q, x_k)`, each `[N, H, W, 3]`, or `(x_q, x_k, draws)`,
            draws `[N, 2, D]` of both views, which go with their images. Labels `[N]` may follow.
        seed, A: the model's.
        first_step: step of the run that takes the first batch.
        replicas: that the batch is divided over.
    """

    def shuffled(step, batch):
        x_q, x_k, *rest = batch
        N = tf.shape(x_k)[0]
        order = within_micro_batches(permutation(seed, step, 0, N), N // replicas, A)
        rest = [
            x if len(x.shape) == 1 else tf.stack([x[:, 0], tf.gather(x[:, 1], order)], axis=1)
            for x in rest
        ]
        return x_q, tf.ensure_shape(tf.gather(x_k, order), x_k.shape), *rest

    # Parallel only to be ahead of the step: deterministic, it keeps the order.
    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    return batches.enumerate(first_step).map(shuffled, **parallel)
