"""One image file, whatever is inside, to uint8 [size, size, channels].

What happens to each kind:
- turned by an EXIF tag: turned upright;
- palette, CMYK, YCbCr, black and white: converted to RGB (grey among colour too), or to grey with
  the weights of ITU-R 601 where one channel is asked for;
- 16 bits a channel: divided by 256;
- transparent: laid on white;
- animated: the first frame;
- larger or smaller: the central square (or the set's own crop), then Lanczos; but 28x28 at 32x32
  (MNIST and its kin) is padded with zeros, which keeps strokes as they are;
- broken, truncated, empty, not an image, floating point: BadImage says which.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hali_tf.data.crops import Crop, central_square
from hali_tf.errors import BadImage


def decode(data: bytes, size: int, channels: int, crop: Crop = central_square) -> np.ndarray:
    """Decodes an image file.

    Args:
        data: The bytes of a file in any format that Pillow reads.
        size: Height and width of the result.
        channels: 1 or 3.
        crop: From (width, height) of the upright image to the box that is kept, a square.

    Returns:
        uint8 [size, size, channels], 0..255.

    Raises:
        BadImage: If the file cannot be used.
    """
    if not data:
        raise BadImage("the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if crop is central_square:
                _shrink_while_decoding(image, size)
            ImageOps.exif_transpose(image, in_place=True)
            return fit(_to_8_bits(image), size, channels, crop)
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage("not an image in a known format") from None
    # Pillow's readers let many kinds of error out on broken files (struct, zlib, index ...).
    except Exception as error:  # pylint: disable=broad-except
        raise BadImage(" ".join(str(error).split()) or type(error).__name__) from error


def fit(image: Image.Image, size: int, channels: int, crop: Crop = central_square) -> np.ndarray:
    """Crops, resizes and converts an 8-bit image ("L" or "RGB").

    Returns:
        uint8 [size, size, channels], 0..255.
    """
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size == (28, 28) and size == 32:
        image = ImageOps.expand(image, border=2, fill=0)
    # Cropped before it is resized: resize(box=...) would blend in what lies beside the box.
    image = image.crop(crop(*image.size))
    if image.size != (size, size):
        # reducing_gap first averages whole blocks: far faster on large photographs, looks equal.
        image = image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(image).reshape(size, size, channels)


def _shrink_while_decoding(image: Image.Image, size: int) -> None:
    """Lets the JPEG decoder skip detail far below what is kept: at least twice `size` remains."""
    scale = 2 * size / min(image.size)
    if scale < 1:
        width, height = image.size
        image.draft(None, (int(np.ceil(width * scale)), int(np.ceil(height * scale))))


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Converts any Pillow mode to "L" or "RGB"."""
    if image.mode == "F":
        raise BadImage("floating-point pixels, whose range is unknown")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise BadImage("more than 16 bits a channel")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
