"""InfoNCE against its definition."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mocotf.moco.loss import chance
from mocotf.moco.loss import info_nce


def unit(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def definition(q, k, queue, T):
    logits = np.concatenate([np.sum(q * k, axis=1, keepdims=True), q @ queue.T], axis=1) / T
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[:, 0]).mean(), (logits[:, 1:] >= logits[:, :1]).sum(axis=1)


@pytest.mark.parametrize("T", [0.07, 0.2, 1.0])
def test_is_the_cross_entropy_with_label_zero(T):
    rng = np.random.default_rng(0)
    q, k, queue = unit(rng, 5, 8), unit(rng, 5, 8), unit(rng, 30, 8)
    loss, rank = info_nce(*map(tf.constant, (q, k, queue)), T)
    expected_loss, expected_rank = definition(q, k, queue, T)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-12)
    np.testing.assert_array_equal(rank, expected_rank)


def test_stays_finite_where_the_exponentials_do_not():
    q = tf.constant([[1.0, 0.0]])
    loss, rank = info_nce(q, -q, q, T=1e-3)  # positive -1000, negative +1000
    np.testing.assert_allclose(loss, 2000, rtol=1e-6)
    assert rank.numpy() == [1]
    loss, _ = info_nce(q, q, -q, T=1e-3)
    assert loss.numpy() == 0


def test_chance_is_the_loss_of_equal_similarities():
    q = tf.constant([[1.0, 0.0]])
    loss, _ = info_nce(q, q, tf.repeat(q, 99, axis=0), T=0.2)
    np.testing.assert_allclose(loss, math.log(100), rtol=1e-6)
    assert chance(99) == math.log(100)
    assert chance(99, directions=2) == 2 * math.log(100)


def test_its_gradient_is_that_of_the_joined_softmax():
    rng = np.random.default_rng(1)
    q, k, queue = (tf.constant(unit(rng, n, 4)) for n in (3, 3, 20))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(q)
        loss, _ = info_nce(q, k, queue, 0.2)
        joined = tf.concat([tf.reduce_sum(q * k, 1, keepdims=True), q @ tf.transpose(queue)], 1) / 0.2
        plain = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(tf.zeros(3, tf.int32), joined)
        )
    np.testing.assert_allclose(tape.gradient(loss, q), tape.gradient(plain, q), rtol=1e-10)


def test_a_collapsed_or_diverged_encoder_does_not_look_perfect():
    same = tf.ones([2, 4]) / 2
    assert info_nce(same, same, tf.repeat(same, 5, axis=0), 0.2)[1].numpy().tolist() == [10, 10]
    nan = same * float("nan")
    assert info_nce(nan, nan, tf.repeat(same, 5, axis=0), 0.2)[1].numpy().tolist() == [10, 10]
