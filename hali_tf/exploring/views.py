"""What each tab shows, as functions of a model and arrays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from hali_tf.evaluation import inpainting
from hali_tf.measures import latents
from hali_tf.models.coder import Coder, sample_seeds

FRAMES = 17  # of an interpolation, both ends included


class Rebuilt(NamedTuple):
    """A reconstruction: uint8 [H, W, C], its RMSE on the scale [0, 1], how long it took."""

    image: np.ndarray
    rmse: float
    seconds: float


def reconstruct(coder: Coder, image: np.ndarray) -> list[Rebuilt]:
    """The reconstruction of an image, uint8 [H, W, C], from each level, level 1 first."""
    rebuilt = []
    for level in range(1, coder.num_levels + 1):
        began = time.perf_counter()
        (again,) = coder.reconstruct(image[np.newaxis], level)
        seconds = time.perf_counter() - began
        difference = (again.astype(np.float64) - image) / 255
        rebuilt.append(Rebuilt(again, float(np.sqrt(np.mean(difference**2))), seconds))
    return rebuilt


def inpaint(coder: Coder, image: np.ndarray, mask: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (caption, uint8 [H, W, C]) of what the rounds start from, and after each round.

    Args:
      coder: of the model.
      image: uint8 [H, W, C].
      mask: bool [H, W], True where a pixel is to be predicted; some are, and some are not.
    """
    captions, levels = ["mean colour"], inpainting.schedule(coder.num_levels)
    for round_, level in enumerate(levels, start=1):
        captions.append(f"round {round_}, level {level}")
    start = inpainting.naive_fill(image[np.newaxis], mask)
    rounds = inpainting.rounds_of(coder, start, mask, levels)
    for caption, filled in zip(captions, rounds):
        yield caption, filled[0]


def vary(
    coder: Coder,
    zs: list[np.ndarray],
    entries: Mapping[int, float],
    maps: Mapping[int, float],
    keep_details: bool,
) -> np.ndarray:
    """An image with entries of z_L set and feature maps of z_1 multiplied.

    Args:
      coder: of the model.
      zs: the image's latents, float32 [1, *latent] for each level.
      entries: {number: value} of entries of z_L.
      maps: {number: factor} of maps of z_1.
      keep_details: whether the change of z_1 that follows from the entries is applied to the
        image's own z_1 (innovation, section 6.3), which keeps what z_L does not hold. Otherwise the
        image is decoded from z_L alone.

    Returns:
      uint8 [H, W, C].
    """
    z = zs[-1].copy()
    for k, value in entries.items():
        z[..., k] = value
    if coder.num_levels == 1:
        z_1 = z
    elif not keep_details:
        z_1 = coder.decode_latents(z)[0]
    else:
        z_1 = latents.innovated(coder, zs[0], zs[-1], z) if entries else zs[0]
    for k, factor in maps.items():
        z_1 = latents.scale(z_1, k, factor)
    return coder.decode(z_1, 1)[0]


def interpolate(coder: Coder, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """From one image to another, uint8 [H, W, C] both.

    Returns:
      uint8 [FRAMES, H, W, C] for each level, level 1 first; the ends are the reconstructions.
    """
    zs = coder.encode(np.stack([a, b]))
    return [coder.decode(latents.path(z[0], z[1], FRAMES), l) for l, z in enumerate(zs, start=1)]


def sample(coder: Coder, seed: int, count: int, label: int | None = None) -> np.ndarray:
    """Images of the model.

    Args:
      coder: of the model.
      seed: another one gives other images.
      count: how many.
      label: number of the class to draw, where y is part of the top latent; any by default.

    Returns:
      uint8 [count, H, W, C].
    """
    seeds = sample_seeds(seed, count)
    return coder.sample(seeds, None if label is None else np.full(count, label))
