"""The search against NumPy, and the weighted vote against its definition and scikit-learn."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from mocotf.errors import UserError
from mocotf.evaluation import knn
from mocotf.evaluation.knn import knn_top1
from mocotf.evaluation.knn import search

LABELS = np.array([-(2**40), 3, 5, 2**33, 2**40])  # they may be any integers


def data(seed=0, n=300):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(LABELS), 8))
    classes = rng.integers(0, len(LABELS), n)
    return (centres[classes] + 1.2 * rng.normal(size=(n, 8))).astype(np.float32), LABELS[classes]


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cut(features, labels, size):
    """Returns the blocks of a bank."""
    return [(features[i : i + size], labels[i : i + size]) for i in range(0, len(labels), size)]


@pytest.fixture(params=[32, 1000])
def tiles(request, monkeypatch):
    """Makes the tiles so small that little data fills several; then one that holds it all."""
    monkeypatch.setattr(knn, "BANK_TILE", 2 * request.param)
    monkeypatch.setattr(knn, "QUERY_TILE", request.param)


@pytest.mark.parametrize(("k", "T"), [(1, 0.07), (20, 0.07), (20, 1.0), (10_000, 0.1)])
def test_is_scikit_learns_with_the_same_weights(tiles, k, T):
    (bank, bank_labels), (queries, query_labels) = data(), data(n=100)
    queries = queries + 0.1
    classifier = KNeighborsClassifier(
        min(k, len(bank)), weights=lambda d: np.exp((1 - d) / T), metric="cosine", algorithm="brute"
    ).fit(unit(bank), bank_labels)
    nearest = search(cut(bank, bank_labels, 70), queries, k)
    np.testing.assert_array_equal(nearest.winners(k, T), classifier.predict(unit(queries)))
    found = knn_top1(bank, bank_labels, queries, query_labels, k=k, T=T)
    assert found == pytest.approx(100 * classifier.score(unit(queries), query_labels))
    assert 30 < found < 100


def test_search_is_exact(tiles):
    bank, labels = data(1, n=500)
    queries, _ = data(2, n=70)
    nearest = search(cut(bank, labels, 33), queries, 20)
    similarity = unit(queries.astype(np.float64)) @ unit(bank.astype(np.float64)).T
    order = np.argsort(-similarity, axis=1)[:, :20]
    np.testing.assert_array_equal(nearest.places, order)
    np.testing.assert_array_equal(nearest.labels, labels[order])
    np.testing.assert_allclose(nearest.similarities, -np.sort(-similarity)[:, :20], atol=1e-6)
    assert nearest.size == 500


def test_no_bit_depends_on_how_the_bank_is_cut():
    rng = np.random.default_rng(0)
    # More than a tile of both.
    bank, queries = (rng.normal(size=(n, 24)).astype(np.float32) for n in (9000, 600))
    bank[5::7] = bank[4]  # many that are equally similar
    labels = rng.integers(0, 9, 9000)
    whole = search([(bank, labels)], queries, 30)
    for size in (1000, 4096, 8999):
        found = search(cut(bank, labels, size), queries, 30)
        np.testing.assert_array_equal(found.similarities, whole.similarities)
        np.testing.assert_array_equal(found.places, whole.places)
    some = bank[:700], labels[:700]
    single, whole = (search(cut(*some, size), queries, 30) for size in (1, 700))
    np.testing.assert_array_equal(single.places, whole.places)


def test_of_equally_similar_images_the_earlier_is_nearer(tiles):
    bank = np.tile(np.eye(4, dtype=np.float32), [50, 1])
    nearest = search([(bank, np.arange(200))], np.eye(4, dtype=np.float32), 45)
    np.testing.assert_array_equal(nearest.places, np.arange(4)[:, None] + 4 * np.arange(45))


def test_a_vote_is_the_sum_of_its_weights_and_of_equals_the_lowest_label_wins():
    queries = np.array([[1, 0]], np.float32)
    angles = np.arccos([0.9, 0.8, 0.8, 0.7])
    bank = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    nearest = search([(bank, np.array([7, 3, 3, 7]))], queries, 4)
    # exp(.1/T) > 2 where T < .144; the fourth adds a vote to the first.
    assert [nearest.winners(3, T)[0] for T in (0.14, 0.15)] == [7, 3]
    assert nearest.winners(4, 0.15)[0] == 7
    tie = search([(bank[[1, 1]], np.array([9, 4]))], queries, 2)
    assert [tie.winners(k, 0.07)[0] for k in (1, 2)] == [9, 4]


def test_several_votes_in_one_pass_are_those_of_each_alone():
    (bank, labels), (queries, query_labels) = data(5), data(6, n=50)
    nearest = search([(bank, labels)], queries, 40)
    for k in (1, 7, 40):
        for T in (0.05, 0.5):
            alone = knn_top1(bank, labels, queries, query_labels, k=k, T=T)
            assert nearest.top1(query_labels, k=k, T=T) == alone


def test_labels_that_say_nothing_give_chance():
    """What leaks from queries to the answer would lift it."""
    features, labels = data(n=2000)
    shuffled, constant, true = (
        knn_top1(features, said, features, labels, k=20)
        for said in (np.random.default_rng(0).permutation(labels), np.full_like(labels, 3), labels)
    )
    assert abs(shuffled - 20) < 4 * 100 * np.sqrt(0.2 * 0.8 / 2000)
    assert constant == pytest.approx(100 * np.mean(labels == 3)) and true > 60


def test_small_temperatures_do_not_overflow():
    bank, labels = data()
    assert knn_top1(bank, labels, bank, labels, k=5, T=1e-3) == 100


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_told(value):
    bank, labels = data()
    broken = bank.copy()
    broken[7, 3] = value
    for features, queries in ((broken, bank), (bank, broken)):
        with pytest.raises(UserError, match="features are not finite: its run has diverged"):
            search([(features, labels)], queries, 5)


def test_an_empty_bank_is_told():
    with pytest.raises(UserError, match="no labelled image decodes; expected"):
        search([], data()[0], 5)
