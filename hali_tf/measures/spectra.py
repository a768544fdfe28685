"""What a change of an image is like: its energy by frequency, and how much of it is one of colours."""

import numpy as np

CUTOFF = 2  # cycles an image


def beyond_colours(before, after):
    """Energy of what a map of colours cannot bring about.

    Args:
      before, after: float64 [N, H, W, C].

    Returns:
      Sum of squares of what is left of `after` beside the best affine map from the colours of
      `before`, one for all pixels of an image.
    """
    left = 0.0
    for x, y in zip(before, after):
        x, y = (image.reshape(-1, image.shape[-1]) for image in (x, y))
        colours = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
        left += np.sum(np.square(y - colours @ np.linalg.lstsq(colours, y, rcond=None)[0]))
    return left


def spectrum(differences):
    """Energy by frequency.

    Args:
      differences: [N, H, W, C], of images on the scale [0, 1].

    Returns:
      float64 [K]: at k, the sum of squares of the part whose two-dimensional frequency, the length
      of its vector in cycles an image, is above k - 1 and at most k. All sum to the sum of squares
      of `differences` (Parseval).
    """
    height, width = differences.shape[1:3]
    power = np.abs(np.fft.fft2(differences, axes=(1, 2), norm="ortho")) ** 2
    cycles = np.hypot(
        np.fft.fftfreq(height, 1 / height)[:, np.newaxis], np.fft.fftfreq(width, 1 / width)
    )
    return np.bincount(np.ceil(cycles).astype(int).ravel(), power.sum(axis=(0, 3)).ravel())


def by_strength(spectra):
    """Numbers of the components, the one of the largest energy of change first."""
    return np.argsort(-spectra.sum(axis=-1), kind="stable")


def low_frequency_share(spectra):
    """Share of the energy at up to `CUTOFF` cycles an image; 0 where nothing changes.

    Args:
      spectra: [..., K], of `spectrum`; pooled.
    """
    total = spectra.sum()
    return float(spectra[..., : CUTOFF + 1].sum() / total) if total else 0.0


def pixelwise_share(spectra, beyond):
    """Share of the energy that is not beyond colours; 0 where nothing changes.

    Args:
      spectra, beyond: [components, K] of `spectrum` and [components] of `beyond_colours`; pooled.
    """
    total = np.sum(spectra)
    return float(1 - np.sum(beyond) / total) if total else 0.0
