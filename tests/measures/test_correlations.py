"""Correlations against NumPy."""

import numpy as np
import pytest

from hali_tf.measures.correlations import all_pairs, of_columns


def test_correlations_are_those_of_numpy():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, (50, 3), dtype=np.uint8)
    z = (draw.standard_normal((50, 4)) + labels[:, :1]).astype(np.float32)
    expected = np.corrcoef(z.T, labels.T)[4:, :4]
    np.testing.assert_allclose(all_pairs(z, labels), expected, atol=1e-6)


def test_constants_correlate_with_nothing():
    z = np.array([[1, 2], [1, 3], [1, 4]], np.float32)
    labels = np.array([[0, 1], [1, 1], [1, 1]])
    found = all_pairs(z, labels)
    np.testing.assert_allclose(found, [[0, 3**0.5 / 2], [0, 0]], atol=1e-7)


def test_of_columns_has_the_interval_of_fisher():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, (1000, 2), dtype=np.uint8)
    z = (draw.standard_normal((1000, 2)) + labels).astype(np.float32)
    found, ends = of_columns(z, labels)
    np.testing.assert_allclose(found, np.diag(all_pairs(z, labels)), atol=1e-6)
    expected = np.tanh(np.arctanh(found) + np.array([[-1.96], [1.96]]) / 997**0.5)
    assert ends == pytest.approx(expected, abs=0.01)
    constant, _ = of_columns(z, np.ones_like(labels))
    np.testing.assert_array_equal(constant, [0, 0])
