"""Single components of latents scaled, and the way from one latent to another."""

import numpy as np


def scale(z, component, scalar):
    """`z` with one component multiplied: an entry of vectors, a feature map of maps.

    Args:
      z: float32 [N, d] or [N, h, w, d].
      component: 0 to d - 1.
      scalar: the factor.
    """
    scaled = z.copy()
    scaled[..., component] *= scalar
    return scaled


def path(a, b, steps):
    """Latents on the way from one to another, both included.

    Vectors on the arc between them (Shoemake, 1985): the prior of z_L is a thin shell in many
    dimensions, and half the way along the chord is inside it, where the decoder has seen nothing.
    Feature maps, whose distribution is no such shell, on the straight line.

    Args:
      a, b: float32 [*latent].
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
    return np.float32(weights[0] * a + weights[1] * b)
