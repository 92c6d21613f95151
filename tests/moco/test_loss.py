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


@pytest.mark.parametrize("T", [0.07, 0.2, 1.0])
def test_is_the_cross_entropy_with_label_zero_and_so_is_its_gradient(T):
    rng = np.random.default_rng(0)
    q, k, queue = (tf.constant(unit(rng, n, 8)) for n in (5, 5, 30))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(q)
        loss, rank = info_nce(q, k, queue, T)
        logits = tf.concat([tf.reduce_sum(q * k, 1, keepdims=True), q @ tf.transpose(queue)], 1) / T
        expected = tf.reduce_mean(-tf.math.log_softmax(logits)[:, 0])
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    np.testing.assert_allclose(tape.gradient(loss, q), tape.gradient(expected, q), rtol=1e-10)
    logits = logits.numpy()
    np.testing.assert_array_equal(rank, (logits[:, 1:] >= logits[:, :1]).sum(axis=1))


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


def test_a_collapsed_or_diverged_encoder_does_not_look_perfect():
    same = tf.ones([2, 4]) / 2
    assert info_nce(same, same, tf.repeat(same, 5, axis=0), 0.2)[1].numpy().tolist() == [10, 10]
    nan = same * float("nan")
    assert info_nce(nan, nan, tf.repeat(same, 5, axis=0), 0.2)[1].numpy().tolist() == [10, 10]
