"""Which part of an image is kept, and the sizes that sets come in."""

from __future__ import annotations

import re
from typing import Callable

from hali_tf.errors import BadImage

Box = tuple[int, int, int, int]
Crop = Callable[[int, int], Box]

CELEBA_SIZE = 64
_ALIGNED, _FACE = (178, 218), (15, 35, 163, 183)


def central_square(width: int, height: int) -> Box:
    """Returns (left, upper, right, lower) of the largest square in the middle."""
    side = min(width, height)
    left, upper = (width - side) // 2, (height - side) // 2
    return left, upper, left + side, upper + side


def celeba_face(width: int, height: int) -> Box:
    """Returns the box of the face in an aligned image of CelebA, or all of a square image.

    Raises:
      BadImage: the image has another size.
    """
    if (width, height) == _ALIGNED:
        return _FACE
    if width == height:
        return 0, 0, width, height
    raise BadImage(
        "expected an aligned CelebA image of 178x218 pixels, or a square one; "
        f"received {width}x{height}"
    )


def crop_of(data: str) -> Crop:
    """Returns what training keeps of the images of `--data`."""
    return celeba_face if own_boxes(data) else central_square


def own_boxes(data: str) -> dict[tuple[int, int], Box]:
    """Returns the boxes that training keeps where they are not the central square.

    Args:
      data: as `--data` names it.

    Returns:
      From (width, height) to the box that is kept of images of this size.
    """
    of_celeba = re.fullmatch(r"celeba|tfds:celeb_?a\b.*", data, re.IGNORECASE)
    return {_ALIGNED: _FACE} if of_celeba else {}


def crop_of_any(data: str) -> Crop:
    """Returns `crop_of`, but for pictures of any size: others keep their central square."""
    boxes = own_boxes(data)
    if not boxes:
        return central_square
    return lambda width, height: boxes.get((width, height)) or central_square(width, height)
