"""Softmax regression against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mocotf.evaluation import softmax
from mocotf.evaluation.softmax import SoftmaxRegression


def data(seed, n=400, classes=4, dtype=np.float64):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(classes, 6))
    labels = rng.integers(0, classes, n)
    features = (centres[labels] + 1.5 * rng.normal(size=(n, 6))) * [1, 10, 100, 0.1, 1, 1] + 5
    return np.c_[features, np.full(n, 7.0)].astype(dtype), labels  # the last never changes


@pytest.mark.parametrize("l2", [1e-4, 0.03])
def test_is_scikit_learns(l2, monkeypatch):
    monkeypatch.setattr(softmax, "BLOCK", 150)
    (features, labels), (queries, _) = data(0), data(1)
    solved = SoftmaxRegression(features, labels, 4, l2)
    assert solved.converged
    scaler = StandardScaler().fit(features)
    expected = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-10, max_iter=5000)
    expected.fit(scaler.transform(features), labels)
    both = solved.scores(queries), expected.decision_function(scaler.transform(queries))
    mine, theirs = (scores - scores.mean(axis=1, keepdims=True) for scores in both)
    np.testing.assert_allclose(mine, theirs, atol=2e-3)


def test_float32_gives_the_same_answers():
    (features, labels), (queries, answers) = (data(seed, dtype=np.float32) for seed in (0, 1))
    a = SoftmaxRegression(features, labels, 4, 1e-3).scores(queries)
    b = SoftmaxRegression(features.astype(np.float64), labels, 4, 1e-3).scores(queries)
    assert a.dtype == np.float32
    np.testing.assert_allclose(a, b, atol=0.02)
    assert np.mean(a.argmax(1) == answers) > 0.6


def test_a_class_without_images_is_never_answered():
    features, labels = data(0)
    assert 4 not in SoftmaxRegression(features, labels, 5, 1e-3).scores(features).argmax(axis=1)
