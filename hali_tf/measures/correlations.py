"""Pearson's correlations of the entries of latents with labels."""

from __future__ import annotations

import numpy as np

from hali_tf.measures import intervals


def all_pairs(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each entry with each label, 0 where one of them is constant.

    Args:
      z: float32 [N, d].
      labels: [N, A] of 0 and 1.

    Returns:
      float64 [A, d].
    """
    z, labels = z - z.mean(axis=0, dtype=np.float64), labels - labels.mean(axis=0)
    deviations = np.outer(np.linalg.norm(labels, axis=0), np.linalg.norm(z, axis=0))
    return np.divide(labels.T @ z, deviations, out=np.zeros_like(deviations), where=deviations > 0)


def of_columns(z: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of each column with the one at its place, 0 where one of them is constant.

    Args:
      z: float32 [N, A].
      labels: [N, A] of 0 and 1.

    Returns:
      float64 [A], and the ends of the intervals over images, [2, A].
    """
    products = np.stack([z, labels, z * labels, z**2, labels.astype(float) ** 2], axis=1)

    def correlation(means):
        x, y, xy, xx, yy = np.moveaxis(means, -2, 0)
        scale = np.sqrt(np.clip(xx - x**2, 0, None) * np.clip(yy - y**2, 0, None))
        return np.divide(xy - x * y, scale, out=np.zeros_like(scale), where=scale > 0)

    return correlation(products.mean(axis=0)), intervals.bootstrap(products, correlation)
