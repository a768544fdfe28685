"""The picture that all tabs work on, and what comes of bad ones."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from hali_tf.data import images, pictures
from hali_tf.errors import UserError
from hali_tf.evaluation.masks import standard_masks
from hali_tf.exploring.subject import Subject

_ORIENTATION = 0x0112  # the EXIF tag


class Chosen(NamedTuple):
    """A picture, uint8 [H, W, C], and its latents, float32 [1, *latent] for each level."""

    image: np.ndarray
    zs: list[np.ndarray]


def choose(subject: Subject, image: np.ndarray) -> Chosen:
    """An image, uint8 [H, W, C], with its latents."""
    return Chosen(image, subject.coder.encode(image[np.newaxis]))


def read(subject: Subject, path: str) -> tuple[np.ndarray, str]:
    """A picture file in the model's size.

    Args:
      subject: for its size, channels and crop.
      path: of a file that came from the browser.

    Returns:
      (uint8 [H, W, C], what was done to it in one sentence).

    Raises:
      UserError: it is no picture, or too large.
    """
    height, width, channels = subject.coder.image_shape
    name = os.path.basename(path)
    try:
        (image,) = pictures.read([path], subject.coder.image_shape, subject.data)
    except UserError as error:
        raise UserError(str(error).replace(path, name)) from error
    with Image.open(path, formats=images.FORMATS) as picture:
        size, grey = picture.size, Image.getmodebase(picture.mode) == "L"
        with contextlib.suppress(Exception):  # of a damaged tag, which says nothing
            if picture.getexif().get(_ORIENTATION, 1) >= 5:  # on its side
                size = size[::-1]
    done = "used as it is"
    if images.is_padded(size, width):
        done = "padded to 32x32"
    elif size != (width, height):
        done = f"cropped to a square and resized to {width}x{height}"
    if channels == 1 and not grey:
        done += ", in grey"
    return image, f"{name}: {size[0]}x{size[1]} pixels, {done}."


def painted(layers: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The mask that a brush painted.

    Args:
      layers: of the editor, uint8 [h, w, 4] each, h and w multiples of H and W or not.
      shape: (H, W) of the model's images.

    Returns:
      bool [H, W], True where at least half of a pixel is painted.
    """
    mask = np.zeros(shape, bool)
    for layer in layers:
        alpha = Image.fromarray(layer[..., 3]).resize(shape[::-1], Image.Resampling.BOX)
        mask |= np.asarray(alpha) >= 128
    return mask


def mask_of(kind: str, layers: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """What is to be predicted: a standard mask by its name, or else what was painted.

    Raises:
      UserError: it covers nothing or all.
    """
    standard = standard_masks(*shape)
    mask = standard[kind] if kind in standard else painted(layers, shape)
    if mask.all() or not mask.any():
        raise UserError(
            f"the mask covers {'all' if mask.all() else 'nothing'}; paint over a part of the "
            "picture, or choose a standard mask"
        )
    return mask
