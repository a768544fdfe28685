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


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared MMD under the kernel (x.y / D + 1)^3, unbiased (KID, Bińkowski et al., 2018).

    Args:
      a: float [N, D], N at least 2.
      b: the same.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(_mean_of_pairs(a) + _mean_of_pairs(b) - 2 * _kernel_sum(a, b) / len(a) / len(b))


def _mean_of_pairs(x):
    """Mean kernel of two different vectors."""
    with_itself = np.sum((np.sum(x**2, axis=1) / x.shape[1] + 1) ** 3)
    return (_kernel_sum(x, x) - with_itself) / (len(x) * (len(x) - 1))


def _kernel_sum(a, b):
    return sum(polynomial_kernel(a[rows], b).sum() for rows in gen_batches(len(a), _ROWS))


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Share of each set that lies within the other's manifold (Kynkäänniemi et al., 2019).

    The manifold of a set is the union of balls around its vectors, each reaching to the k-th
    nearest other vector of the set.

    Args:
      real: float32 [N, D], N above k.
      generated: the same.
      k: as above.

    Returns:
      (precision, recall): shares of `generated` in the manifold of `real`, and the reverse.
    """
    return _share_inside(generated, real, k), _share_inside(real, generated, k)


def _share_inside(points, others, k):
    with config_context(working_memory=_MEGABYTES):
        neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(others)
        reach = neighbours.kneighbors()[0][:, -1]  # an image is no neighbour of its own
        inside = pairwise_distances_chunked(
            points, others, reduce_func=lambda distances, _: (distances <= reach).any(axis=1)
        )
        return float(np.concatenate(list(inside)).mean())


def nearest(points: np.ndarray, others: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of `others` for each point: distances [N, k] and positions [N, k]."""
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(others).kneighbors(points)
