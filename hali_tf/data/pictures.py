"""A user's own pictures, read as a run's images were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hali_tf.data import images
from hali_tf.data.crops import crop_of_any
from hali_tf.errors import BadImage, UserError


def read(paths: Sequence[str], image_shape: tuple[int, int, int], data: str) -> np.ndarray:
    """Pictures, read as the run's own images were: see `hali_tf.data.images`.

    Args:
      paths: of image files.
      image_shape: (H, W, C) of the model; H = W.
      data: `--data` of the run. The aligned faces of CelebA are cropped as in training; all other
        pictures to their central square.

    Returns:
      uint8 [N, H, W, C].

    Raises:
      UserError: a file is missing or no image.
    """
    shape = (len(paths), *image_shape)
    return np.reshape([_read(path, *image_shape[1:], crop_of_any(data)) for path in paths], shape)


def _read(path, size, channels, crop):
    try:
        return images.decode(images.read(path), size, channels, crop)
    except BadImage as error:
        raise UserError(f"{path}: {error}; expected a picture, such as a JPEG or PNG") from error
