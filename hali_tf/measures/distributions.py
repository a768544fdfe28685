"""How far two sets of feature vectors are from each other, in memory that grows with N alone."""

from __future__ import annotations

import numpy as np
from sklearn import config_context
from sklearn.metrics import pairwise_distances_chunked
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches

_MEGABYTES = 256  # of pairwise distances at a time
_ROWS = 1024  # of a kernel at a time
_DIVISIONS = 20  # of sets into halves
_NEAR = 64  # neighbours: for k = 3, one time in 10^16 fewer than k of them are in a random half


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between the Gaussians of both sets' means and covariances (FID, Heusel et al., 2017).

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)). It is larger the fewer vectors there are, so
    only distances of sets of equal sizes can be compared.

    Args:
      a: float [N, D], N at least 2.
      b: the same.
    """
    (mean_a, s_a), (mean_b, s_b) = (
        (np.mean(x, axis=0, dtype=np.float64), np.cov(x, rowvar=False, dtype=np.float64))
        for x in (a, b)
    )
    # S_a S_b has the eigenvalues of S_a^(1/2) S_b S_a^(1/2), which is symmetric.
    values, vectors = np.linalg.eigh(s_a)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ s_b @ root), 0, None)).sum()
    return float(np.sum((mean_a - mean_b) ** 2) + np.trace(s_a) + np.trace(s_b) - 2 * cross)


def kernel_distance(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """Squared MMD under the kernel (x.y / D + 1)^3, unbiased (KID, Bińkowski et al., 2018).

    Args:
      a: float [N, D], N at least 3.
      b: the same.

    Returns:
      The distance, and float64 [N] of what it is without each a_i and b_i, for
      `intervals.jackknife`.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    between, others = _kernel_sums(a, b), len(a) - 1
    cross = between.sum() - between - _kernel_sums(b, a) + _kernel(a, b)
    whole, without = zip(_mean_of_pairs(a), _mean_of_pairs(b))
    return (
        float(sum(whole) - 2 * between.sum() / len(a) ** 2),
        np.sum(without, axis=0) - 2 * cross / others**2,
    )


def _mean_of_pairs(x):
    """Mean kernel of two different vectors: of all, and float64 [N] without each of them."""
    sums, count = _kernel_sums(x, x) - _kernel(x, x), len(x)
    pairs = count * (count - 1)
    return sums.sum() / pairs, (sums.sum() - 2 * sums) / (pairs - 2 * (count - 1))


def _kernel(a, b):
    """Of each a_i and b_i, float64 [N]."""
    return (np.sum(a * b, axis=1) / a.shape[1] + 1) ** 3


def _kernel_sums(a, b):
    """Of each a_i and all of b, float64 [N]."""
    parts = [polynomial_kernel(a[rows], b).sum(axis=1) for rows in gen_batches(len(a), _ROWS)]
    return np.concatenate(parts)


def share_inside(points: np.ndarray, others: np.ndarray, k: int = 3) -> tuple[float, np.ndarray]:
    """How much of a set lies within another's manifold (Kynkäänniemi et al., 2019).

    The manifold of a set is the union of balls around its vectors, each reaching to the k-th
    nearest other vector of the set. The share of generated images in the manifold of real ones is
    their precision, that of real images in the manifold of generated ones the recall.

    Args:
      points: float32 [N, D].
      others: float32 [M, D], M at least 2 (k + 1).
      k: as above.

    Returns:
      The share, and float64 [20, 2] of what it is in both halves of both sets, by as many random
      divisions.
    """
    rng = np.random.default_rng(0)
    own, theirs = _parts(len(points), rng), _parts(len(others), rng)
    # A vector that is not in a part has no ball there. As float32, which the distances are.
    reach = np.where(theirs, _reach(others, theirs, k), -np.inf).astype(np.float32)

    def within(distances, _):
        return np.stack([(distances <= ends).any(axis=1) for ends in reach], axis=1)

    with config_context(working_memory=_MEGABYTES):
        found = list(pairwise_distances_chunked(points, others, reduce_func=within))
    shares = np.sum(np.concatenate(found).T & own, axis=1) / own.sum(axis=1)
    return float(shares[0]), shares[1:].reshape(2, -1).T


def _parts(count, rng):
    """Which vectors of a set are in a part: all in the first, then halves and complements."""
    halves = np.array([rng.permutation(count) % 2 == 0 for _ in range(_DIVISIONS)])
    return np.concatenate([np.ones([1, count], bool), halves, ~halves])


def _reach(x, parts, k):
    """Distance of each vector to the k-th nearest other one that is in a part, [parts, N]."""
    neighbours = NearestNeighbors(n_neighbors=min(_NEAR, len(x) - 1), algorithm="brute").fit(x)
    distances, positions = neighbours.kneighbors()  # a vector is no neighbour of its own
    ranks = [np.argmax(part[positions].cumsum(axis=1) == k, axis=1) for part in parts]
    return np.stack([distances[np.arange(len(x)), rank] for rank in ranks])


def nearest(points: np.ndarray, others: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of `others` for each point: distances [N, k] and positions [N, k]."""
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(others).kneighbors(points)
