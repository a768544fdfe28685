"""Latents changed: single components scaled, innovation, the way from one latent to another."""

from __future__ import annotations

import numpy as np

from hali_tf.models.coder import Coder


def scale(z: np.ndarray, component: int, scalar: float) -> np.ndarray:
    """`z` with one component multiplied: an entry of vectors, a feature map of maps.

    Args:
      z: float32 [N, d] or [N, h, w, d].
      component: 0 to d - 1.
      scalar: the factor.
    """
    scaled = z.copy()
    scaled[..., component] *= scalar
    return scaled


def scale_along(z: np.ndarray, axis: np.ndarray, scalar: float) -> np.ndarray:
    """`z` with its component along an axis multiplied; that of an entry is `scale`.

    Args:
      z: float32 [N, d].
      axis: float32 [d], of length 1.
      scalar: the factor.
    """
    return z + np.float32(scalar - 1) * np.outer(z @ axis, axis)


def innovated(coder: Coder, z_1: np.ndarray, z_top: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """z_1 without the innovation: the difference that a change of z_L makes to the decoded z_1.

    Paper, section 6.3.

    Args:
      coder: of two levels or more.
      z_1: of the encoded images, float32 [N, *latent].
      z_top: z_L of the same, float32 [N, d].
      changed: z_top, changed.

    Returns:
      float32 [N, *latent].
    """
    innovation = coder.decode_latents(z_top)[0] - coder.decode_latents(changed)[0]
    return z_1 - innovation


def path(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """Latents on the way from one to another, both included.

    Vectors move on the arc between them (Shoemake, 1985): in many dimensions the prior of z_L is a
    thin shell, and the middle of the chord lies inside it, where the decoder was never trained.
    Feature maps, which are not distributed like that, move on the straight line.

    Args:
      a: float32 [*latent].
      b: the same.
      steps: 2 or more.

    Returns:
      float32 [steps, *latent].
    """
    t = np.linspace(0, 1, steps).reshape([-1] + [1] * a.ndim)
    weights = 1 - t, t
    if a.ndim == 1:
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        angle = np.arccos(np.clip(a @ b / lengths, -1, 1)) if lengths else 0.0
        if np.sin(angle) > 1e-3:  # otherwise there is no arc, or no single one
            weights = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    return (weights[0] * a + weights[1] * b).astype(np.float32)
