"""Which part of an image is kept, and the sizes that sets come in."""

from __future__ import annotations

from typing import Callable

from hali_tf.errors import BadImage

Box = tuple[int, int, int, int]
Crop = Callable[[int, int], Box]

CELEBA_SIZE = 64


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
    if (width, height) == (178, 218):
        return 15, 35, 163, 183
    if width == height:
        return 0, 0, width, height
    raise BadImage(
        "expected an aligned CelebA image of 178x218 pixels, or a square one; "
        f"received {width}x{height}"
    )
