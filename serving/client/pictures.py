"""Picture files for the client's command: into the model's shape, and out as a grid."""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Not all that Pillow reads: some of its readers start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
# What decoding may cost: a small file can say that it is of any size.
MAX_PIXELS = 2**26
MAX_BYTES = 2**29
_MAX_SCANS = 1000  # of a progressive JPEG, each of which costs a pass over all pixels
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_GAP = 2  # pixels between the pictures of a grid


class PictureError(Exception):
    """A picture that cannot be used; the message names the file."""


def load(
    path: str, image_shape: tuple[int, int, int], celeba: bool = False
) -> tuple[list[str], np.ndarray]:
    """Reads a picture, or each picture of a folder in order of name.

    Args:
      path: file or folder.
      image_shape: (H, W, C) to bring them to; C is 1 or 3.
      celeba: see `decode`.

    Returns:
      (file names, uint8 [B, H, W, C]).

    Raises:
      PictureError: no picture there, or a file that is none.
    """
    if os.path.isdir(path):
        names = sorted(name for name in os.listdir(path) if name.lower().endswith(SUFFIXES))
        names = [name for name in names if not name.startswith(".")]
        if not names:
            raise PictureError(f"{path}: no pictures in this folder ({', '.join(SUFFIXES)})")
        paths = [os.path.join(path, name) for name in names]
    else:
        paths = [path]
    images = np.stack([_load_one(file, image_shape, celeba) for file in paths])
    return [os.path.basename(file) for file in paths], images


def _load_one(path: str, image_shape: tuple[int, int, int], celeba: bool) -> np.ndarray:
    try:
        status = os.stat(path)  # before it is opened: opening a pipe waits for a writer
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(f"{path}: not a file with a picture")
        if status.st_size > MAX_BYTES:
            raise PictureError(f"{path}: has {status.st_size:,} bytes; at most {MAX_BYTES:,}")
        with open(path, "rb") as file:
            return decode(file.read(), image_shape, celeba)
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file or folder") from None
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(f"{path}: has more than {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise PictureError(f"{path}: cannot be read as a picture: of no known format") from None
    # Pillow's readers raise many kinds of errors on broken files.
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{path}: cannot be read as a picture: {words}") from None


def decode(data: bytes, image_shape: tuple[int, int, int], celeba: bool = False) -> np.ndarray:
    """Brings a picture to a model's shape, as hali_tf does with the images of its training.

    It is turned upright (EXIF), laid on white where it is transparent, cut to the model's aspect
    ratio about its centre, and resized; 28x28 at 32x32 gets a black border. Of 16 bits a channel
    the upper 8 stay.

    Args:
      data: the bytes of a file in one of `FORMATS`.
      image_shape: (H, W, C); C is 1 or 3.
      celeba: whether to keep the face alone of CelebA's aligned pictures, which have 178x218
        pixels.

    Returns:
      uint8 [H, W, C].

    Raises:
      ValueError: it has too many pixels, or pixels of an unknown range; and whatever Pillow
        raises where it is no picture.
    """
    height, width, channels = image_shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(
                f"{picture.width}x{picture.height} pixels; at most {MAX_PIXELS:,} are decoded"
            )
        if picture.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > _MAX_SCANS:
            raise ValueError(f"a JPEG of more than {_MAX_SCANS} scans")
        smallest, enough = min(picture.size), 2 * max(width, height)
        if smallest > enough and not celeba:
            # The JPEG decoder skips detail far below what is kept.
            wide, high = (-(-side * enough // smallest) for side in picture.size)
            picture.draft(None, (wide, high))
        picture.load()  # so that what fails below is the tag alone
        with contextlib.suppress(Exception):  # a damaged tag says nothing of the picture
            ImageOps.exif_transpose(picture, in_place=True)
        flat = _flat(picture).convert("L" if channels == 1 else "RGB")
    if flat.size == (28, 28) and (width, height) == (32, 32):
        flat = ImageOps.expand(flat, border=2, fill=0)
    aligned = celeba and flat.size == (178, 218)
    flat = flat.crop((15, 35, 163, 183) if aligned else _centre(*flat.size, width, height))
    if flat.size != (width, height):
        flat = flat.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(flat, np.uint8).reshape(image_shape)


def _centre(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int, int, int]:
    """The largest box in the middle with the sides' ratio."""
    if width * box_height > height * box_width:
        inner_width, inner_height = max(1, height * box_width // box_height), height
    else:
        inner_width, inner_height = width, max(1, width * box_height // box_width)
    left, upper = (width - inner_width) // 2, (height - inner_height) // 2
    return left, upper, left + inner_width, upper + inner_height


def _flat(picture: Image.Image) -> Image.Image:
    """To 8 bits, grey or RGB; what is transparent shows white."""
    if picture.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("more than 16 bits a channel")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture if picture.mode == "L" else picture.convert("RGB")


def write_grid(path: str, images: np.ndarray, columns: int | None = None) -> None:
    """Writes images as one PNG.

    Args:
      path: file to write.
      images: uint8 [B, H, W, C], row by row.
      columns: pictures in a row; by default about as many as rows.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.full(
        (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels), 255, np.uint8
    )
    for index, image in enumerate(images):
        top, left = index // columns * (height + _GAP), index % columns * (width + _GAP)
        canvas[top : top + height, left : left + width] = image
    grid = Image.fromarray(canvas[..., 0] if channels == 1 else canvas)
    write(path, lambda file: grid.save(file, format="PNG"))


def write(path: str, save: Callable[[BinaryIO], object]) -> None:
    """Calls `save(binary file)` beside `path`, then renames: a reader never sees half a file."""
    folder, name = os.path.split(path)
    try:
        handle, beside = tempfile.mkstemp(dir=folder or ".", prefix=".", suffix=name)
        try:
            with os.fdopen(handle, "wb") as file:
                save(file)
            os.chmod(beside, 0o666 & ~_umask())  # mkstemp's files are their owner's alone
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:  # it would name the file beside, or none
        raise OSError(error.errno, error.strerror or str(error), path) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
