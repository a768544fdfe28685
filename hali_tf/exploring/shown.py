"""Files that the page shows; they are removed when the process ends."""

from __future__ import annotations

import hashlib
import os
import tempfile

import numpy as np
from PIL import Image

from hali_tf.drawing import grids
from hali_tf.exploring import FOLDER

_SMALLEST = 256  # pixels; pictures are enlarged by a whole factor to about so many


def enlarged(image: np.ndarray) -> Image.Image:
    """uint8 [H, W, C] as a picture that is large enough to look at."""
    return grids.to_picture(image, max(1, _SMALLEST // image.shape[1]))


def shown(image: np.ndarray) -> str:
    """Path of a PNG of `enlarged`.

    Equal images have one file, written once. Gradio would write it anew for each place that shows
    it, while the browser may be reading it.
    """
    name = hashlib.sha256(image.tobytes()).hexdigest()
    path = os.path.join(FOLDER.name, f"{name}.png")
    if not os.path.exists(path):
        grids.save_picture(path, enlarged(image))
    return path


def new_path(name: str) -> str:
    """Path of a file of this name that is not there yet."""
    return os.path.join(tempfile.mkdtemp(dir=FOLDER.name), name)
