"""Strips of images with words beside them."""

import os

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hali_tf.drawing.grids import grid
from hali_tf.files import replacing

_SMALLEST = 96  # pixels; an image is drawn at least so wide
_GAP, _MARGIN = 2, 8  # pixels between images, before enlarging, and around words
_FONT = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def save_strips(path, rows, columns, labels):
    """Writes rows of images as PNG, with a heading over each column and a label before each row.

    Args:
      path: of the file; replaced if it is there.
      rows: uint8 [R, N, H, W, C], enlarged by a whole factor.
      columns: N headings, of one line or more.
      labels: R labels, of one line or more.
    """
    rows = np.asarray(rows)
    _, count, height, width, channels = rows.shape
    factor = -(-_SMALLEST // width)
    canvas = grid(rows.reshape(-1, height, width, channels), count, _GAP)
    picture = Image.fromarray(canvas[..., 0] if channels == 1 else canvas)
    picture = picture.resize([factor * s for s in picture.size], Image.Resampling.NEAREST)
    font = ImageFont.truetype(_FONT, 13)
    measure = ImageDraw.Draw(picture).multiline_textbbox
    left = 2 * _MARGIN + max(measure((0, 0), label, font)[2] for label in labels)
    top = 2 * _MARGIN + max(measure((0, 0), heading, font)[3] for heading in columns)
    size = left + picture.width + _MARGIN, top + picture.height + _MARGIN
    page = Image.new("RGB", size, "white")
    page.paste(picture, (left, top))
    draw = ImageDraw.Draw(page)
    for i, heading in enumerate(columns):
        x = left + factor * (i * (width + _GAP) + width / 2)
        draw.multiline_text((x, top - _MARGIN), heading, "black", font, "md", align="center")
    for i, label in enumerate(labels):
        y = top + factor * (i * (height + _GAP) + height / 2)
        draw.multiline_text((left - _MARGIN, y), label, "black", font, "rm", align="right")
    with replacing(path) as beside:
        page.save(beside, format="PNG")
