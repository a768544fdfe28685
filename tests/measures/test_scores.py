"""Accuracies by hand and against NumPy."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from hali_tf.measures import scores


def test_balanced_accuracy_by_hand():
    truth = np.array([[1, 0], [1, 0], [1, 0], [0, 0]])
    decisions = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    # First column: 2 of 3 and 1 of 1. Second: only zeros, of which half are found.
    np.testing.assert_allclose(
        scores.balanced_accuracy(truth, decisions), [100 * (2 / 3 + 1) / 2, 50]
    )
    np.testing.assert_allclose(scores.accuracy(truth, decisions), [75, 50])


def test_balanced_accuracy_of_classes_is_the_mean_recall():
    rng = np.random.default_rng(0)
    truth, decisions = rng.integers(0, 4, (2, 200, 1))
    expected = 100 * balanced_accuracy_score(truth[:, 0], decisions[:, 0])
    assert scores.balanced_accuracy(truth, decisions) == pytest.approx([expected])


def test_summary_counts_equal_ones_for_each():
    found = scores.summary({"a": [1, 5, 3], "b": [2, 5, 1]})
    assert found["a"] == {"mean": 3, "std": pytest.approx(2), "best": 2}
    assert found["b"]["best"] == 2
    assert scores.summary({"a": [7.0]})["a"] == {"mean": 7, "std": None, "best": 1}
