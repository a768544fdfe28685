"""Picture files for the client's command: into the model's shape, and out as a grid."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_GAP = 2  # pixels between the pictures of a grid


class PictureError(Exception):
    """A picture that cannot be used; the message names the file."""


def load(path: str, image_shape: tuple[int, int, int]) -> tuple[list[str], np.ndarray]:
    """Reads a picture, or each picture of a folder in order of name.

    Args:
        path: file or folder.
        image_shape: (H, W, C) to bring them to; C is 1 or 3.

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
    images = np.stack([_load_one(file, image_shape) for file in paths])
    return [os.path.basename(file) for file in paths], images


def _load_one(path: str, image_shape: tuple[int, int, int]) -> np.ndarray:
    height, width, channels = image_shape
    try:
        with warnings.catch_warnings():
            # Pillow warns from 90 megapixels and refuses from 180; the refusal is enough.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                upright = ImageOps.exif_transpose(picture)
                flat = _flat(upright, "L" if channels == 1 else "RGB")
                fitted = ImageOps.fit(flat, (width, height), Image.Resampling.LANCZOS)
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file or folder") from None
    # Pillow's decoders raise many kinds of errors on broken files.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path}: cannot be read as a picture: {error}") from None
    return np.asarray(fitted, np.uint8).reshape(image_shape)


def _flat(picture: Image.Image, mode: str) -> Image.Image:
    """To grey or RGB; what is transparent shows white."""
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits a pixel: keep the high 8
        levels = np.asarray(picture, np.float64)
        scale = 255 / 65535 if levels.max(initial=0) > 255 else 1
        return Image.fromarray(np.clip(levels * scale, 0, 255).astype(np.uint8)).convert(mode)
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        coloured = picture.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        picture = Image.alpha_composite(white, coloured)
    return picture.convert(mode)


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
    folder = os.path.dirname(path) or "."
    handle, beside = tempfile.mkstemp(dir=folder, prefix=".", suffix=os.path.basename(path))
    try:
        with os.fdopen(handle, "wb") as file:
            save(file)
        os.chmod(beside, 0o666 & ~_umask())  # mkstemp's files are their owner's alone
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
