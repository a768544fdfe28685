"""A user's own pictures, read as a run's images were."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Iterator, Sequence

import numpy as np

from hali_tf.data import images
from hali_tf.data.crops import crop_of_any
from hali_tf.errors import BadImage, UserError

_AT_A_TIME = 1024


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
    found = np.empty((len(paths), *image_shape), np.uint8)
    for index, picture in enumerate(read_each(paths, image_shape, data)):
        if isinstance(picture, BadImage):
            raise UserError(f"{paths[index]}: {picture}; expected a picture, such as a JPEG or PNG")
        found[index] = picture
    return found


def read_each(
    paths: Sequence[str], image_shape: tuple[int, int, int], data: str
) -> Iterator[np.ndarray | BadImage]:
    """Each picture of `read`, uint8 [H, W, C], in order; or why there is none."""

    def read_one(path):
        try:
            return images.decode(images.read(path), *image_shape[1:], crop_of_any(data))
        except BadImage as error:
            return error

    # Threads suffice: Pillow decodes without the interpreter lock.
    with concurrent.futures.ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        for begin in range(0, len(paths), _AT_A_TIME):  # a million results never wait in memory
            yield from pool.map(read_one, paths[begin : begin + _AT_A_TIME])
