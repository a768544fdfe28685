"""Distance of reconstructions in the discriminator's penultimate layer (paper, section 5.3).

The paper writes the embedding as f(x), a function of an image alone, but the discriminator takes
(x, z_1, ..., z_L). Read here: f(x) belongs to the image with its own encodings, by the means, noise
and dropout off. A reconstruction is an image like any other and is encoded anew.

The scale of f changes as the discriminator learns. Beyond the paper, the distance between random
pairs of images under the same f is therefore measured beside, and the ratio to it.
"""

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from hali_tf.data import batches


def has_discriminator(model):
    """Whether the distance is defined for a model: a VAE has no discriminator."""
    return hasattr(model, "discriminator_features")


def distances(model, split, limit=None, batch_size=128, progress=False):
    """Mean Euclidean distance of image and reconstruction under f (paper, Equation 8).

    Args:
      model: one that `has_discriminator`.
      split: `Split` of held-out images.
      limit: use this many images, from the first; all by default.
      batch_size: images at a time.
      progress: whether to show a bar.

    Returns:
      Dict: "perceptual_l" for each level l, and "perceptual_pairs", between each image and another.
    """
    levels = range(1, model.num_levels + 1)

    @tf.function(reduce_retracing=True)
    def embed(images):
        f = model.discriminator_features
        return f(images), [f(model.reconstruct(images, l)) for l in levels]

    embeddings, sums = [], dict.fromkeys(levels, 0.0)
    for images in tqdm(batches(split, batch_size, limit), "embed", disable=not progress):
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
