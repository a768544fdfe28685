"""A film of the samples that each evaluation drew during training."""

from __future__ import annotations

import numpy as np
from PIL import Image

from hali_tf.drawing.grids import to_picture
from hali_tf.drawing.strips import Strips, draw_strips
from hali_tf.runs import logged_images

_SMALLEST = 200  # pixels; the samples are drawn at least so wide
_MOST = 60  # evaluations that are shown; of more, evenly many
_SHOWN, _REST = 3, 12  # for how many frames an evaluation is shown, and the last one stays


def draw(run_dir: str) -> list[Image.Image]:
    """The frames, with their steps.

    Raises:
      UserError: the run has no evaluation in its logs.
    """
    pictures = logged_images.read(run_dir, "samples")
    chosen = np.unique(np.linspace(0, len(pictures) - 1, _MOST).astype(int))
    steps = np.array([*pictures])[chosen].tolist()
    frames = [frame for step in steps for frame in [_captioned(step, pictures[step])] * _SHOWN]
    return [*frames, *frames[-1:] * _REST]


def _captioned(step, picture):
    large = to_picture(np.asarray(picture.convert("RGB")), -(-_SMALLEST // picture.width))
    return draw_strips(Strips(np.asarray(large)[np.newaxis, np.newaxis], [f"step {step:,}"], [""]))
