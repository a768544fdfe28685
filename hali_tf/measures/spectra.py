"""How an image changes: the energy by frequency, and how much is a change of colours alone."""

from __future__ import annotations

import numpy as np

CUTOFF = 2  # cycles per image


def beyond_colours(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Energy of the change that no map of colours can make.

    Args:
      before: float64 [N, H, W, C].
      after: the same.

    Returns:
      float64 [N]: sum of squares of the difference between `after` and its best approximation by an
      affine map of the colours of `before`, one map for all pixels of an image.
    """
    left = []
    for x, y in zip(before, after):
        x, y = (image.reshape(-1, image.shape[-1]) for image in (x, y))
        colours = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
        left.append(np.sum(np.square(y - colours @ np.linalg.lstsq(colours, y, rcond=None)[0])))
    return np.array(left)


def spectrum(differences: np.ndarray) -> np.ndarray:
    """Energy by frequency.

    Args:
      differences: [N, H, W, C], of images on the scale [0, 1].

    Returns:
      float64 [N, K]: at k, the sum of squares of the part whose two-dimensional frequency, the
      length of its vector in cycles per image, is above k - 1 and at most k. Those of an image sum
      to the sum of squares of its differences (Parseval).
    """
    height, width = differences.shape[1:3]
    power = np.sum(np.abs(np.fft.fft2(differences, axes=(1, 2), norm="ortho")) ** 2, axis=3)
    cycles = np.hypot(
        np.fft.fftfreq(height, 1 / height)[:, np.newaxis], np.fft.fftfreq(width, 1 / width)
    )
    rings = np.eye(int(np.ceil(cycles.max())) + 1)[np.ceil(cycles).astype(int).ravel()]
    return power.reshape(len(power), -1) @ rings


def by_strength(spectra: np.ndarray) -> np.ndarray:
    """Numbers of the components, that of the largest energy first."""
    return np.argsort(-spectra.sum(axis=-1), kind="stable")
