"""Grids of images, and PNG files of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from hali_tf.files import replacing


def grid(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Images in rows on white.

    Args:
      images: uint8 [N, H, W, C].
      columns: number of images in a row.
      gap: pixels between images.

    Returns:
      uint8 [rows * (H + gap) - gap, columns * (W + gap) - gap, C].
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    canvas = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8
    )
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[y : y + height, x : x + width] = image
    return canvas


def reconstruction_grid(
    originals: np.ndarray, reconstructions: Sequence[np.ndarray], columns: int = 8
) -> np.ndarray:
    """Rows of originals, each followed by the rows of its reconstructions, level 1 first.

    Args:
      originals: uint8 [N, H, W, C].
      reconstructions: the same for each level.
      columns: number of images in a row.

    Returns:
      uint8 [height, width, C].
    """
    bands = [
        _stack([grid(rows[i : i + columns], columns) for rows in (originals, *reconstructions)], 2)
        for i in range(0, len(originals), columns)
    ]
    return _stack(bands, 10)


def _stack(pictures, gap):
    """Pictures of equal width below each other, `gap` white pixels between them."""
    space = np.full((gap, *pictures[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, space)][:-1])


def to_picture(image: np.ndarray, factor: int) -> Image.Image:
    """uint8 [H, W, C], C = 1 or 3, as a picture `factor` times as large."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return picture.resize([factor * side for side in picture.size], Image.Resampling.NEAREST)


def save_picture(path: str | os.PathLike, picture: Image.Image) -> None:
    """Writes a picture as PNG."""
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def save_png(path: str | os.PathLike, image: np.ndarray, smallest: int = 480) -> None:
    """Writes uint8 [H, W, C] as PNG, enlarged by a whole factor to about `smallest` pixels wide."""
    save_picture(path, to_picture(image, max(1, smallest // image.shape[1])))
