"""The weighted vote against its definition and scikit-learn."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from mocotf.evaluation.knn import knn_top1


def data(seed=0, n=300, classes=5):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 8))
    labels = rng.integers(0, classes, n)
    return (centres[labels] + 1.2 * rng.normal(size=(n, 8))).astype(np.float32), labels


@pytest.mark.parametrize(("k", "T"), [(1, 0.07), (20, 0.07), (20, 1.0), (10_000, 0.1)])
def test_is_scikit_learns_with_the_same_weights(k, T):
    bank, bank_labels = data(0)
    queries, query_labels = data(0, n=100)[0] + 0.1, data(0, n=100)[1]

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    classifier = KNeighborsClassifier(
        min(k, len(bank)),
        weights=lambda distance: np.exp((1 - distance) / T),
        metric="cosine",
        algorithm="brute",
    ).fit(unit(bank), bank_labels)
    expected = 100 * np.mean(classifier.predict(unit(queries)) == query_labels)
    found = knn_top1(bank, bank_labels, queries, query_labels, k=k, T=T, batch_size=33)
    assert found == pytest.approx(expected)
    assert 30 < found < 100


def test_small_temperatures_do_not_overflow():
    bank, labels = data()
    assert knn_top1(bank, labels, bank, labels, k=5, T=1e-3) == 100
