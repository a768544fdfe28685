"""One image file, whatever is inside, to uint8 [size, size, channels].

The client (`serving.client.pictures`) and exported graphs (`hali_tf.exporting.pictures`) do the
same in code of their own, and tests compare them. What happens to each kind:
- turned by an EXIF tag: turned upright;
- palette, CMYK, YCbCr, black and white: converted to RGB (grey among colour too), or to grey with
  the weights of ITU-R 601 where one channel is asked for;
- 16 bits a channel: divided by 256;
- transparent: laid on white;
- animated: the first frame;
- larger or smaller: the central square (or the set's own crop), then Lanczos; but 28x28 at 32x32
  (MNIST and its kin) is padded with zeros, which keeps strokes as they are;
- broken, truncated, empty, too large, not an image, floating point: BadImage says which.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hali_tf import files
from hali_tf.data.crops import Crop, central_square
from hali_tf.errors import BadImage, in_one_line, reason

# Not all that Pillow reads: some of its readers start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
# What decoding may cost: a small file can say that it is of any size.
MAX_PIXELS = 2**26
MAX_BYTES = 2**29
_MAX_SCANS = 1000  # of a progressive JPEG, each of which costs a pass over all pixels
# Pillow warns of what is refused here, and refuses what is larger still.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read(path: str | os.PathLike) -> bytes:
    """Reads a file that is to be an image.

    Raises:
      BadImage: If it cannot be read, is no file (but a pipe, say), or has too many bytes.
    """
    try:
        if not files.scheme(path):
            kind = os.stat(path).st_mode  # Before it is opened: a pipe waits for a writer.
            if stat.S_ISDIR(kind):
                raise BadImage("is a folder")
            if not stat.S_ISREG(kind):
                raise BadImage("not a file, but a pipe, a socket or a device")
        size, _ = files.status(path)
        if size > MAX_BYTES:
            raise BadImage(f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read")
        with files.opened(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadImage(f"cannot be read: {reason(error)}") from error


def decode(data: bytes, size: int, channels: int, crop: Crop = central_square) -> np.ndarray:
    """Decodes an image file.

    Args:
      data: The bytes of a file in one of `FORMATS`.
      size: Height and width of the result.
      channels: 1 or 3.
      crop: From (width, height) of the upright image to the box that is kept, a square.

    Returns:
      uint8 [size, size, channels], 0..255.

    Raises:
      BadImage: If the file cannot be used.
    """
    try:
        with open_image(data) as image:
            if crop is central_square:
                _shrink_while_decoding(image, size)
            _turn_upright(image)
            return fit(_to_8_bits(image), size, channels, crop)
    except BadImage:
        raise
    # Pillow's readers let many kinds of error out on broken files (struct, zlib, index ...).
    except Exception as error:
        raise BadImage(in_one_line(error)) from error


def _turn_upright(image: Image.Image) -> None:
    """Obeys the EXIF tag of orientation; a damaged one says nothing of the picture."""
    image.load()  # so that what fails below is the tag alone
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def open_image(data: bytes) -> Image.Image:
    """Opens an image without decoding it.

    Args:
      data: The bytes of a file in one of `FORMATS`.

    Raises:
      BadImage: If it is none, or decoding could cost too much.
    """
    if not data:
        raise BadImage("the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise BadImage("not an image in a known format") from None
    except Image.DecompressionBombError:
        raise BadImage(f"more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # as many kinds as of decoding
        raise BadImage(in_one_line(error)) from error
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"{image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are decoded")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > _MAX_SCANS:
        raise BadImage(f"a JPEG of more than {_MAX_SCANS} scans")
    return image


def fit(image: Image.Image, size: int, channels: int, crop: Crop = central_square) -> np.ndarray:
    """Crops, resizes and converts an 8-bit image ("L" or "RGB").

    Returns:
      uint8 [size, size, channels], 0..255.
    """
    image = image.convert("L" if channels == 1 else "RGB")
    if is_padded(image.size, size):
        image = ImageOps.expand(image, border=2, fill=0)
    # Cropped before it is resized: resize(box=...) would blend in what lies beside the box.
    image = image.crop(crop(*image.size))
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(size, size, channels)


def is_padded(sides: tuple[int, int], size: int) -> bool:
    """Whether `fit` pads an image of these sides in place of resizing it: 28x28, to 32x32."""
    return sides == (28, 28) and size == 32


def _shrink_while_decoding(image: Image.Image, size: int) -> None:
    """Lets the JPEG decoder skip detail far below what is kept: at least twice `size` remains."""
    smallest, enough = min(image.size), 2 * size
    if smallest > enough:
        width, height = (-(-side * enough // smallest) for side in image.size)
        image.draft(None, (width, height))


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Converts any Pillow mode to "L" or "RGB"."""
    if image.mode == "F":
        raise BadImage("floating-point pixels, whose range is unknown")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise BadImage("more than 16 bits a channel")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
