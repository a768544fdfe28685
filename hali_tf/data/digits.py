"""scikit-learn's handwritten digits: 1,797 real ones, in the package itself, no download.

No crop. The 8x8 images of values 0..16 are scaled to 0..255 and enlarged to 16x16 (or
`image_size`) by bilinear interpolation, which cannot overshoot. A fixed permutation cuts them
into 1,300 for training, 247 for validation, 250 for testing.
"""

from __future__ import annotations

import functools
import importlib.util
import os

import numpy as np
from PIL import Image

from hali_tf.data.source import Source, Split

_BOUNDS = {"train": (0, 1300), "validation": (1300, 1547), "test": (1547, 1797)}


def open_digits(image_size: int = 0, channels: int = 0) -> Source:
    """Opens the digits.

    Args:
      image_size: Height and width in pixels; 0 means 16.
      channels: 1, or 3 for grey in three equal channels; 0 means 1.

    Returns:
      A source of images [N, image_size, image_size, channels] with labels 0..9.
    """
    size, channels = image_size or 16, channels or 1

    def load(split: str) -> Split:
        digits, labels = _read()
        start, stop = _BOUNDS[split]
        rows = np.random.default_rng(0).permutation(len(digits))[start:stop]
        images = np.stack([_enlarge(digits[row], size) for row in rows])
        return Split(np.repeat(images[..., None], channels, axis=-1), labels[rows])

    return Source(
        "digits", (size, size, channels), load, label_names=tuple(str(digit) for digit in range(10))
    )


@functools.lru_cache(maxsize=1)
def _read():
    """The images, float64 [1797, 8, 8], and labels, int64 [1797], of `sklearn.datasets`.

    From the file: to import scikit-learn takes longer than all else that a start reads.
    """
    folder = os.path.dirname(importlib.util.find_spec("sklearn").origin)
    path = os.path.join(folder, "datasets", "data", "digits.csv.gz")
    table = np.loadtxt(path, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def _enlarge(digit: np.ndarray, size: int) -> np.ndarray:
    """Turns [8, 8] in 0..16 into uint8 [size, size] in 0..255."""
    image = Image.fromarray((digit * (255 / 16)).astype(np.float32))
    enlarged = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.rint(np.asarray(enlarged)).astype(np.uint8)
