"""Distances of sets against SciPy, plain loops, and numbers by hand."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from hali_tf.measures import distributions


def sets(count, size, shift=0.5):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((count, size)).astype(np.float32)
    b = shift + 1.3 * rng.standard_normal((count, size)).astype(np.float32)
    return a, b.astype(np.float32)


@pytest.mark.parametrize("count, size", [(200, 6), (5, 8)])  # the second has singular covariances
def test_frechet_distance_is_scipys(count, size):
    a, b = sets(count, size)
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(
        s_a + s_b - 2 * sqrtm(s_a @ s_b).real
    )
    assert distributions.frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)
    assert distributions.frechet_distance(a, a) == pytest.approx(0, abs=1e-5)


def test_frechet_distance_by_hand():
    a = np.array([[0, 0], [2, 0], [0, 2], [2, 2]], np.float32)  # variances 4/3, mean 1
    b = 3 * a + 1  # variances 12, mean 4
    expected = 2 * 3**2 + 2 * (np.sqrt(12) - np.sqrt(4 / 3)) ** 2
    assert distributions.frechet_distance(a, b) == pytest.approx(expected)


def test_kernel_distance_is_the_unbiased_estimate(monkeypatch):
    monkeypatch.setattr(distributions, "_ROWS", 3)  # several blocks, the last one smaller
    a, b = sets(10, 4)

    def mean(x, y, same):
        values = [
            (np.dot(p, q) / 4 + 1) ** 3
            for i, p in enumerate(x)
            for j, q in enumerate(y)
            if not (same and i == j)
        ]
        return np.mean(values)

    expected = mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)
    value, without = distributions.kernel_distance(a, b)
    assert value == pytest.approx(expected, rel=1e-5)
    one = distributions.kernel_distance(np.delete(a, 4, axis=0), np.delete(b, 4, axis=0))[0]
    assert without.shape == (10,) and without[4] == pytest.approx(one, rel=1e-5)


def test_precision_and_recall_by_hand():
    real = np.array([[0], [1], [2], [10], [11], [12]], np.float32)
    generated = np.array([[0.5], [0.6], [0.7], [0.8], [0.9], [30]], np.float32)
    # k = 1: real reaches 1 from each point, so 30 alone is outside. What is generated reaches 0.1
    # around 0.5 .. 0.9, which holds 1 and no other; and 29.1 around 30, which holds all from 1 on.
    assert within(generated, real, k=1) == [True] * 5 + [False]
    assert within(real, generated, k=1) == [False] + [True] * 5
    # All that is generated in one place: precise, but only 1 is within reach, 0.15 or 0.2.
    generated = np.array([[0.4], [0.6], [0.8], [0.95], [1.15], [1.3]], np.float32)
    assert within(generated, real, k=1) == [True] * 6
    assert within(real, generated, k=1) == [False, True] + [False] * 4


def within(points, others, k):
    """Which points are in the manifold of the others: the share of as many copies of each."""
    shares = [distributions.share_inside(np.repeat([x], 6, axis=0), others, k) for x in points]
    assert {share for share, _ in shares} <= {0, 1}
    return [share == 1 for share, _ in shares]


def test_precision_and_recall_by_chunks(monkeypatch):
    monkeypatch.setattr(distributions, "_MEGABYTES", 1)  # of 3.9 for all pairs
    a, b = sets(700, 5, shift=1.0)
    precision, recall = (distributions.share_inside(*pair)[0] for pair in ((b, a), (a, b)))
    assert precision == pytest.approx(share(b, a), abs=2e-3)
    assert recall == pytest.approx(share(a, b), abs=2e-3)
    assert 0.05 < precision < 0.95


def share(points, others, k=3):
    """As in `share_inside`, from all distances."""
    reach = np.sort(cdist(others, others), axis=1)[:, k]  # the first is the point itself
    return (cdist(points, others) <= reach).any(1).mean()


@pytest.mark.parametrize("count, others", [(8, 8), (11, 9), (300, 300)])
def test_shares_of_halves_are_those_of_the_halves_alone(count, others):
    a, b = sets(300, 5, shift=1.0)
    a, b = a[:count], b[:others]
    _, found = distributions.share_inside(a, b)
    rng = np.random.default_rng(0)
    rows, columns = (
        [rng.permutation(size) % 2 == 0 for _ in range(20)] for size in (count, others)
    )
    expected = [
        [share(a[row], b[column]), share(a[~row], b[~column])] for row, column in zip(rows, columns)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9 if count < 300 else 1e-2)
    assert found.std() > 0


def test_nearest_by_hand():
    others = np.array([[0, 0], [3, 4], [6, 8]], np.float32)
    distances, positions = distributions.nearest(np.array([[3, 3.5]], np.float32), others, 2)
    np.testing.assert_array_equal(positions, [[1, 0]])
    np.testing.assert_allclose(distances, [[0.5, np.hypot(3, 3.5)]], rtol=1e-5)
