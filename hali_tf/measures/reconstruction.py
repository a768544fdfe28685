"""How well each level reconstructs (paper, section 5.1): RMSE, SSIM, feature distance."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from hali_tf.data import Split, batches
from hali_tf.measures import features
from hali_tf.models.coder import Coder
from hali_tf.progress import progress_bar


def errors(coder: Coder, split: Split, bar: bool = False) -> dict[str, float]:
    """How far reconstructions are from their images, and random pairs to compare with.

    Args:
      coder: of the model.
      split: held-out images.
      bar: whether to show a progress bar.

    Returns:
      Dict: "rmse_l" for each level l, on the scale [0, 1]; "random_pairs", the RMSE between each
      image and another one (BiGAN's measure, Donahue et al., arXiv 1605.09782); "ratio_l" =
      rmse_l / random_pairs, left out where all images are equal; "feature_distance_l", the mean
      `features.distance`, and "feature_distance_pairs", that of the random pairs.
    """
    levels = range(1, coder.num_levels + 1)
    squares: dict[int | str, float] = dict.fromkeys([*levels, "pairs"], 0.0)
    distances = squares.copy()
    others = iter(partners(len(split.images)))
    for images in progress_bar(batches(split), "reconstruct", disable=not bar):
        images = images.numpy()
        compared: dict[int | str, Any] = {l: coder.reconstruct(images, l) for l in levels}
        compared["pairs"] = split.images[list(itertools.islice(others, len(images)))]
        own = features.maps(images)
        for of, other in compared.items():
            squares[of] += _squared_error(images, other)
            apart = features.distance_of_maps(own, features.maps(other))
            distances[of] += float(tf.reduce_sum(apart))
    rmse = {of: float(np.sqrt(square / split.images.size)) for of, square in squares.items()}
    pairs = rmse["pairs"]
    return {
        **{f"rmse_{l}": rmse[l] for l in levels},
        "random_pairs": pairs,
        **{f"ratio_{l}": rmse[l] / pairs for l in levels if pairs},
        **{f"feature_distance_{of}": d / len(split.images) for of, d in distances.items()},
    }


def partners(count: int) -> np.ndarray:
    """The number of another image for each image: the one before it in a random order.

    Returns:
      int64 [count].
    """
    order = np.random.default_rng(0).permutation(count)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return partner


def _squared_error(a, b):
    """Sum of squared differences of two uint8 arrays on the scale [0, 1]."""
    return float(
        np.sum(((a.astype(np.float32) - b.astype(np.float32)) / 255) ** 2, dtype=np.float64)
    )


def table(errors: dict[str, Any]) -> str:
    """The numbers of `errors` as lines for a person."""
    lines = [f"  between random pairs of images  per-pixel RMSE {errors['random_pairs']:.4f}"]
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
