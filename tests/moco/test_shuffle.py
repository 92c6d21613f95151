"""The permutation of shuffled batch norm, and what it is for."""

import numpy as np
import pytest
import tensorflow as tf

from mocotf.moco.shuffle import permutation
from mocotf.moco.shuffle import shuffle_keys
from mocotf.moco.shuffle import within_micro_batches
from mocotf.training.collectives import all_gather
from mocotf.training.collectives import own_share


def test_is_a_permutation_and_a_pure_function_of_its_arguments():
    a = permutation(1, 2, 0, 64).numpy()
    np.testing.assert_array_equal(np.sort(a), np.arange(64))
    np.testing.assert_array_equal(a, permutation(1, 2, 0, 64))
    for other in ((2, 2, 0), (1, 3, 0), (1, 2, 1)):
        assert (a != permutation(*other, 64).numpy()).mean() > 0.8


@pytest.mark.parametrize("with_draws", [False, True])
def test_of_a_batch_the_key_images_and_their_draws_are_permuted(with_draws):
    rng = np.random.default_rng(0)
    batches = [rng.random((4, 16, 5, 5, 3)), rng.random((4, 16, 5, 5, 3)), rng.random((4, 16, 2, 9))]
    batches = tuple(batches[: 2 + with_draws])
    shuffled = shuffle_keys(tf.data.Dataset.from_tensor_slices(batches), seed=3, first_step=100)
    assert len(shuffled) == 4
    for i, (x_q, x_k, *draws) in enumerate(shuffled):
        order = permutation(3, 100 + i, 0, 16).numpy()
        np.testing.assert_array_equal(x_q, batches[0][i])
        np.testing.assert_array_equal(x_k, batches[1][i][order])
        for d in draws:
            np.testing.assert_array_equal(d[:, 0], batches[2][i][:, 0])
            np.testing.assert_array_equal(d[:, 1], batches[2][i][order][:, 1])


def test_sends_every_place_to_every_place():
    counts = np.zeros((4, 4))
    for step in range(400):
        counts[np.arange(4), permutation(0, step, 0, 4).numpy()] += 1
    chi_square = np.sum((counts - 100) ** 2 / 100)
    assert chi_square < 27.9  # 9 degrees of freedom, p = .001; never permuting gives 1200


def test_images_stay_in_their_micro_batch_and_each_has_a_permutation_of_its_own():
    replicas, A, n = 2, 3, 12
    order = permutation(1, 2, 0, replicas * n)
    np.testing.assert_array_equal(within_micro_batches(order, n, 1), order)
    places = np.arange(replicas * n).reshape(replicas, A, n // A).transpose(1, 0, 2).reshape(A, -1)
    images = within_micro_batches(order, n, A).numpy()[places]
    np.testing.assert_array_equal(np.sort(images), places)
    assert np.any(images[:, : n // A] >= n), "over replicas too"
    assert len(set(map(tuple, np.argsort(images)))) == A


def test_gathers_in_replica_order_and_takes_the_own_share_back(replicas):
    strategy, shapes = replicas(2), []

    @tf.function
    def step():
        def run():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            own = tf.range(3.0) + 10 * tf.cast(replica, tf.float32)
            everyone = all_gather(own)
            shapes.append(everyone.shape.as_list())
            return everyone, own_share(everyone)

        return strategy.run(run)

    everyone, share = step()
    assert shapes == [[6], [6]], "layers choose by shapes how they compute"
    for copy in strategy.experimental_local_results(everyone):
        np.testing.assert_array_equal(copy, [0, 1, 2, 10, 11, 12])
    np.testing.assert_array_equal(strategy.experimental_local_results(share)[0], [0, 1, 2])
    np.testing.assert_array_equal(strategy.experimental_local_results(share)[1], [10, 11, 12])
