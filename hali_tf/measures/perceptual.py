"""Distance of reconstructions in the discriminator's penultimate layer (paper, section 5.3).

The paper writes the embedding as f(x), a function of an image alone, but the discriminator takes
(x, z_1, ..., z_L). Here f(x) is that of the image with its own encodings, by the means, without
noise and dropout. A reconstruction is treated like any other image: it is encoded anew.

The scale of f changes as the discriminator learns. Therefore the distance between random pairs of
images under the same f is measured too, which the paper does not do.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from hali_tf.data import Split, batches
from hali_tf.measures.reconstruction import partners
from hali_tf.models.coder import Coder
from hali_tf.progress import progress_bar


def has_discriminator(model: keras.Model) -> bool:
    """Whether the distance is defined for a model: a VAE has no discriminator."""
    return hasattr(model, "discriminator_features")


def embedding(model: keras.Model) -> Callable[[np.ndarray], tf.Tensor]:
    """The f of a model that `has_discriminator`, compiled: uint8 [B, H, W, C] to float32 [B, F]."""
    return tf.function(model.discriminator_features, reduce_retracing=True)


def distances_of_images(
    coder: Coder, embed: Callable, split: Split, bar: bool = False
) -> np.ndarray:
    """Euclidean distances of each image and its reconstructions under f (paper, Equation 8).

    Args:
      coder: of the model.
      embed: its `embedding`.
      split: held-out images.
      bar: whether to show a progress bar.

    Returns:
      float32 [N, L + 1]: of the reconstruction from each level, and last of another image.
    """
    originals, rebuilt = [], []
    for images in progress_bar(batches(split), "embed", disable=not bar):
        images = images.numpy()
        originals.append(embed(images).numpy())
        levels = [coder.reconstruct(images, l) for l in range(1, coder.num_levels + 1)]
        rebuilt.append([embed(level).numpy() for level in levels])
    f = np.concatenate(originals)
    others = [*np.concatenate(rebuilt, axis=1), f[partners(len(f))]]
    return np.stack([np.linalg.norm(other - f, axis=-1) for other in others], axis=1)


def distances(coder: Coder, embed: Callable, split: Split) -> dict[str, float]:
    """Means of `distances_of_images`, of the same arguments.

    Returns:
      Dict: "perceptual_l" for each level l, and "perceptual_pairs", between each image and another.
    """
    *levels, pairs = distances_of_images(coder, embed, split).mean(axis=0, dtype=np.float64)
    means = {f"perceptual_{l}": float(mean) for l, mean in enumerate(levels, start=1)}
    return {**means, "perceptual_pairs": float(pairs)}
