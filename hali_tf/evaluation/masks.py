"""Masks of images to inpaint: bool [H, W], True where a pixel is missing."""

from __future__ import annotations

import numpy as np

from hali_tf.data import images
from hali_tf.errors import UserError


def standard_masks(height: int, width: int) -> dict[str, np.ndarray]:
    """Masks by name.

    "centre" is half as high and wide as the image, in its middle.
    """
    rows, columns = np.mgrid[:height, :width]
    return {
        "centre": (abs(2 * rows + 1 - height) < height / 2)
        & (abs(2 * columns + 1 - width) < width / 2),
        "right half": columns >= width // 2,
        "lower half": rows >= height // 2,
    }


def read_mask(path: str, shape: tuple[int, int]) -> np.ndarray:
    """A mask from an image file, in which white, 128 and above, is missing.

    Args:
      path: of a PNG, black and white, grey or colour.
      shape: (H, W) of the images.

    Raises:
      UserError: there is no such image; it is transparent, has more than 8 bits per channel, or
        another size; it covers all or nothing.
    """
    try:
        with images.open_image(images.read(path)) as image:
            if image.mode not in ("1", "L", "P", "RGB") or "transparency" in image.info:
                raise UserError(
                    f"--mask={path}: expected black and white, grey or RGB, 8 bits per channel, "
                    f"without transparency; received mode {image.mode}; save it as grey PNG"
                )
            if image.size != (shape[1], shape[0]):
                raise UserError(
                    f"--mask={path}: expected {shape[1]}x{shape[0]} pixels, as the model's images; "
                    f"received {image.width}x{image.height}"
                )
            mask = np.asarray(image.convert("L")) >= 128
    except UserError:
        raise
    except Exception as error:  # Pillow's readers let many kinds out on broken files
        raise UserError(f"--mask={path}: {error}; expected a PNG") from error
    if mask.all() or not mask.any():
        raise UserError(
            f"--mask={path}: covers {'all' if mask.all() else 'nothing'}; expected white where the "
            "image is missing and black where it is known, some of each"
        )
    return mask
