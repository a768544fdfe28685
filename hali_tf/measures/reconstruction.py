"""How well each level reconstructs (paper, section 5.1): RMSE, SSIM, feature distance."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hali_tf.data import Split, batches
from hali_tf.measures import features
from hali_tf.progress import progress_bar


def errors(model: keras.Model, split: Split, bar: bool = False) -> dict[str, float]:
    """How far reconstructions are from their images, and random pairs to compare with.

    Args:
      model: `Autoencoder` or `Generative`.
      split: held-out images.
      bar: whether to show a progress bar.

    Returns:
      Dict: "rmse_l" for each level l, on the scale [0, 1]; "random_pairs", the RMSE between each
      image and another one (BiGAN's measure, Donahue et al., arXiv 1605.09782); "ratio_l" =
      rmse_l / random_pairs, left out where all images are equal; "feature_distance_l", the mean
      `features.distance`, and "feature_distance_pairs", that of the random pairs.
    """
    reconstruct = tf.function(model.reconstruct, reduce_retracing=True)
    levels = range(1, model.num_levels + 1)
    squares = dict.fromkeys(levels, 0.0)
    distances: dict[int | str, float] = dict.fromkeys([*levels, "pairs"], 0.0)
    others = iter(partners(len(split.images)))
    for images in progress_bar(batches(split), "reconstruct", disable=not bar):
        compared: dict[int | str, Any] = {l: reconstruct(images, l) for l in levels}
        for l in levels:
            squares[l] += _squared_error(images.numpy(), compared[l].numpy())
        compared["pairs"] = split.images[list(itertools.islice(others, len(images)))]
        own = features.maps(images)
        for of, other in compared.items():
            apart = features.distance_of_maps(own, features.maps(other))
            distances[of] += float(tf.reduce_sum(apart))
    pairs = random_pairs(split.images)
    rmse = {f"rmse_{l}": float(np.sqrt(squares[l] / split.images.size)) for l in levels}
    ratios = {f"ratio_{l}": rmse[f"rmse_{l}"] / pairs for l in levels if pairs}
    looks = {f"feature_distance_{of}": d / len(split.images) for of, d in distances.items()}
    return {**rmse, "random_pairs": pairs, **ratios, **looks}


def partners(count: int, seed: int = 0) -> np.ndarray:
    """The number of another image for each image: the one before it in a random order.

    Returns:
      int64 [count].
    """
    order = np.random.default_rng(seed).permutation(count)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return partner


def random_pairs(images: np.ndarray) -> float:
    """RMSE between each image and another one (`partners`), on the scale [0, 1]."""
    total = sum(_squared_error(images[i], images[j]) for i, j in enumerate(partners(len(images))))
    return float(np.sqrt(total / images.size))


def _squared_error(a, b):
    """Sum of squared differences of two uint8 arrays on the scale [0, 1]."""
    return float(
        np.sum(((a.astype(np.float32) - b.astype(np.float32)) / 255) ** 2, dtype=np.float64)
    )


def table(data: str, errors: dict[str, Any]) -> str:
    """The numbers of `errors`, with their step, as lines for a person."""
    lines = [
        f"step {errors['step']}, {data}, held-out test images, averaged weights",
        f"  between random pairs of images  per-pixel RMSE {errors['random_pairs']:.4f}",
    ]
    levels = sorted(int(name[5:]) for name in errors if name.startswith("rmse_"))
    lines += [
        f"  reconstruction, level {l}         per-pixel RMSE {errors[f'rmse_{l}']:.4f}"
        + (f", {errors[f'ratio_{l}']:.3f} of that" if f"ratio_{l}" in errors else "")
        for l in levels
    ]
    return "\n".join(lines)


@tf.function
def compare(a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
    """Three measures of how different pairs of images are.

    Args:
      a: uint8 [B, H, W, C].
      b: the same.

    Returns:
      float32 [B] each: "mse" on the scale [0, 1]; "ssim" (Wang et al., 2004; 11 x 11 Gaussian
      window, mean over the colour channels); "feature_distance", see `features.distance`.
    """
    difference = (tf.cast(a, tf.float32) - tf.cast(b, tf.float32)) / 255
    return {
        "mse": tf.reduce_mean(difference**2, axis=[1, 2, 3]),
        "ssim": tf.image.ssim(a, b, max_val=255),
        "feature_distance": features.distance(a, b),
    }
