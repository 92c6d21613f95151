"""What a step reports of itself."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.moco import model as module
from mocotf.moco.metrics import similarities
from mocotf.moco.metrics import top
from tests.moco.test_model import BATCH
from tests.moco.test_model import make_model
from tests.moco.test_model import train


def test_top_j_is_the_percentage_of_keys_among_the_j_most_similar():
    rank = tf.constant([0, 0, 1, 4, 5, 40, 0, 9])
    shares = {1: 3 / 8, 2: 4 / 8, 5: 5 / 8, 6: 6 / 8, 41: 1}
    for j, share in shares.items():
        np.testing.assert_allclose(top(j, rank), 100 * share)


def test_similarities_are_the_mean_cosines_with_the_key_and_with_all_of_the_queue():
    q, k, queue = (
        tf.math.l2_normalize(tf.random.stateless_normal([n, 8], [seed, 1]), axis=1)
        for seed, n in enumerate((5, 5, 40))
    )
    positive, negative = similarities(q, k, queue)
    np.testing.assert_allclose(positive, np.mean(np.diag(q @ tf.transpose(k))), rtol=1e-5)
    np.testing.assert_allclose(negative, np.mean(q @ tf.transpose(queue)), rtol=1e-4)
    np.testing.assert_allclose(similarities(q, q, q[:1])[0], 1, rtol=1e-6)


@pytest.mark.parametrize(("count", "symmetric"), [(1, False), (1, True), (2, True)])
def test_a_step_reports_the_loss_and_ranks_of_its_directions(replicas, monkeypatch, count, symmetric):
    """The report is the sum over directions, of each the mean over replicas."""
    ranks = tf.constant([0] * 2 + [1] * 3 + [20] * (BATCH // count - 5))
    traced = []

    def info_nce(q, k, queue, T):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        traced.append(None)
        return 10 + 2 * tf.cast(replica, tf.float32) + 0 * tf.reduce_sum(q), ranks

    monkeypatch.setattr(module, "info_nce", info_nce)
    model = train(make_model(replicas(count), bn_splits=2, symmetric=symmetric), 1)
    logs = model.history.history
    assert len(traced) == count * (1 + symmetric)
    np.testing.assert_allclose(logs["loss"], (10 + (count - 1)) * (1 + symmetric), rtol=1e-6)
    np.testing.assert_allclose(logs["acc1"], 100 * 2 * count / BATCH, rtol=1e-6)
    np.testing.assert_allclose(logs["acc5"], 100 * 5 * count / BATCH, rtol=1e-6)
