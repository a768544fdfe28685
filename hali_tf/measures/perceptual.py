"""Distance of reconstructions in the discriminator's penultimate layer (paper, section 5.3).

The paper writes the embedding as f(x), a function of an image alone, but the discriminator takes
(x, z_1, ..., z_L). Here f(x) is that of the image with its own encodings, by the means, without
noise and dropout. A reconstruction is treated like any other image: it is encoded anew.

The scale of f changes as the discriminator learns. Therefore the distance between random pairs of
images under the same f is measured too, which the paper does not do.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from hali_tf.data import Split, batches
from hali_tf.measures.reconstruction import partners
from hali_tf.progress import progress_bar


def has_discriminator(model: keras.Model) -> bool:
    """Whether the distance is defined for a model: a VAE has no discriminator."""
    return hasattr(model, "discriminator_features")


def distances_of_images(model: keras.Model, split: Split, bar: bool = False) -> np.ndarray:
    """Euclidean distances of each image and its reconstructions under f (paper, Equation 8).

    Args:
      model: one that `has_discriminator`.
      split: held-out images.
      bar: whether to show a progress bar.

    Returns:
      float32 [N, L + 1]: of the reconstruction from each level, and last of another image.
    """
    levels = range(1, model.num_levels + 1)

    @tf.function(reduce_retracing=True)
    def embed(images):
        f = model.discriminator_features
        originals = f(images)
        rebuilt = [f(model.reconstruct(images, l)) for l in levels]
        return originals, tf.stack([tf.norm(r - originals, axis=-1) for r in rebuilt], axis=1)

    parts = [
        [part.numpy() for part in embed(images)]
        for images in progress_bar(batches(split), "embed", disable=not bar)
    ]
    embeddings, rebuilt = map(np.concatenate, zip(*parts))
    others = embeddings[partners(len(embeddings))]
    pairs = np.linalg.norm(embeddings - others, axis=-1, keepdims=True)
    return np.concatenate([rebuilt, pairs], axis=1)


def distances(model: keras.Model, split: Split) -> dict[str, float]:
    """Means of `distances_of_images`, of the same arguments.

    Returns:
      Dict: "perceptual_l" for each level l, and "perceptual_pairs", between each image and another.
    """
    *levels, pairs = distances_of_images(model, split).mean(axis=0, dtype=np.float64)
    means = {f"perceptual_{l}": float(mean) for l, mean in enumerate(levels, start=1)}
    return {**means, "perceptual_pairs": float(pairs)}
