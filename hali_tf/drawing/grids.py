"""Grids of images, curves, and PNG files of them."""

import numpy as np
from PIL import Image

from hali_tf.files import replacing


def grid(images, columns, gap=2):
    """Images in rows of `columns` on white.

    Args:
      images: uint8 [N, H, W, C].
      columns: images a row.
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


def reconstruction_grid(originals, reconstructions, columns=8):
    """Rows of originals, each with the rows of its reconstructions below it, level 1 first.

    Args:
      originals: uint8 [N, H, W, C].
      reconstructions: a list of such, one for each level.
      columns: images a row.
    """
    bands = [
        _stack([grid(rows[i : i + columns], columns) for rows in (originals, *reconstructions)], 2)
        for i in range(0, len(originals), columns)
    ]
    return _stack(bands, 10)


def _stack(pictures, gap):
    """Pictures of one width below each other, `gap` white rows between them."""
    space = np.full((gap, *pictures[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, space)][:-1])


def save_png(path, image, smallest=480):
    """Writes uint8 [H, W, C] as PNG, enlarged by a whole factor to about `smallest` pixels wide."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    factor = max(1, smallest // picture.width)
    picture = picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )
    with replacing(path) as beside:
        picture.save(beside, format="PNG")


def draw(model, originals):
    """The model as pictures: dict of name to uint8 [H, W, C]."""
    levels = range(1, model.num_levels + 1)
    rebuilt = [model.reconstruct(originals, level).numpy() for level in levels]
    return {
        "reconstructions": reconstruction_grid(originals, rebuilt),
        "samples": grid(model.sample(np.arange(64)).numpy(), 8),
    }
