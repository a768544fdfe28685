"""Strips of images with words beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hali_tf.drawing.grids import grid, save_picture, to_picture

_SMALLEST = 96  # pixels; an image is drawn at least so wide
_GAP, _MARGIN = 2, 8  # pixels between images, before enlarging, and around words


class Strips(NamedTuple):
    """Rows of images with words.

    Attributes:
      rows: uint8 [R, N, H, W, C].
      columns: N headings, of one line or more.
      labels: of the R rows, of one line or more.
    """

    rows: np.ndarray
    columns: Sequence[str]
    labels: Sequence[str]


def save_strips(path: str | os.PathLike, strips: Strips) -> None:
    """Writes strips as PNG; an existing file is replaced."""
    save_picture(path, draw_strips(strips))


def draw_strips(strips: Strips) -> Image.Image:
    """Strips as a picture, the images enlarged by a whole factor."""
    import matplotlib  # for its font alone; a training without a picture yet does not wait for it

    rows, columns, labels = strips
    _, count, height, width, channels = rows.shape
    factor = -(-_SMALLEST // width)
    images = to_picture(grid(rows.reshape(-1, height, width, channels), count, _GAP), factor)
    file = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    font = ImageFont.truetype(file, 13)
    measure = ImageDraw.Draw(images).multiline_textbbox
    left = 2 * _MARGIN + int(max(measure((0, 0), label, font)[2] for label in labels))
    top = 2 * _MARGIN + int(max(measure((0, 0), heading, font)[3] for heading in columns))
    size = left + images.width + _MARGIN, top + images.height + _MARGIN
    page = Image.new("RGB", size, "white")
    page.paste(images, (left, top))
    draw = ImageDraw.Draw(page)
    for i, heading in enumerate(columns):
        x = left + factor * (i * (width + _GAP) + width / 2)
        draw.multiline_text((x, top - _MARGIN), heading, "black", font, "md", align="center")
    for i, label in enumerate(labels):
        y = top + factor * (i * (height + _GAP) + height / 2)
        draw.multiline_text((left - _MARGIN, y), label, "black", font, "rm", align="right")
    return page
