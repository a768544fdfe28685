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
from hali_tf.progress import progress_bar


def has_discriminator(model: keras.Model) -> bool:
    """Whether the distance is defined for a model: a VAE has no discriminator."""
    return hasattr(model, "discriminator_features")


def distances(
    model: keras.Model,
    split: Split,
    limit: int | None = None,
    batch_size: int = 128,
    bar: bool = False,
) -> dict[str, float]:
    """Mean Euclidean distance of image and reconstruction under f (paper, Equation 8).

    Args:
      model: one that `has_discriminator`.
      split: held-out images.
      limit: how many images are used, from the first; all by default.
      batch_size: number of images at a time.
      bar: whether to show a progress bar.

    Returns:
      Dict: "perceptual_l" for each level l, and "perceptual_pairs", between each image and another.
    """
    levels = range(1, model.num_levels + 1)

    @tf.function(reduce_retracing=True)
    def embed(images):
        f = model.discriminator_features
        return f(images), [f(model.reconstruct(images, l)) for l in levels]

    embeddings, sums = [], dict.fromkeys(levels, 0.0)
    for images in progress_bar(batches(split, batch_size, limit), "embed", disable=not bar):
        originals, reconstructions = embed(images)
        embeddings.append(originals.numpy())
        for l, rebuilt in zip(levels, reconstructions):
            sums[l] += float(tf.reduce_sum(tf.norm(rebuilt - originals, axis=-1)))
    embeddings = np.concatenate(embeddings)
    order = np.random.default_rng(0).permutation(len(embeddings))
    pairs = embeddings[order] - embeddings[np.roll(order, 1)]
    return {
        **{f"perceptual_{l}": sums[l] / len(embeddings) for l in levels},
        "perceptual_pairs": float(np.mean(np.linalg.norm(pairs, axis=-1))),
    }
