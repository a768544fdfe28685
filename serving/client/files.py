"""The files of the command beside pictures: numbers that it writes, latents that it reads."""

from __future__ import annotations

import functools
import json
import os
import sys
import tokenize
import zipfile
import zlib
from typing import BinaryIO

import numpy as np

from serving.client import pictures
from serving.client.errors import HaliClientError


def write_numbers(out: str | None, names: list[str], arrays: dict) -> None:
    """Writes arrays with the names of their pictures: .npz or JSON; to standard output if None."""
    if out and out.lower().endswith(".npz"):
        write_npz(out, {"files": np.array(names), **arrays})
        return
    table = {"files": names, **{name: array.tolist() for name, array in arrays.items()}}
    text = json.dumps(table) + "\n"
    if out:
        pictures.write(out, lambda file: file.write(text.encode()))
    else:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes again as it ends
            raise


def write_npz(out: str, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays as `np.savez` does, which leaves its archive open if the disk is full."""

    def save(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)

    pictures.write(out, save)


def write_images(out: str, images: np.ndarray) -> None:
    """Writes images, uint8 [B, H, W, C]: .npy, or a grid of them as PNG."""
    if out.lower().endswith(".npy"):
        pictures.write(out, functools.partial(_save_npy, images))
    else:
        pictures.write_grid(out, images)


# What json and NumPy raise of a file that is something else, or damaged.
_DAMAGE = (
    ValueError, TypeError, EOFError, ArithmeticError, RuntimeError, MemoryError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def _save_npy(array: np.ndarray, file: BinaryIO) -> None:
    """As `np.save`, which does not say that a disk is full."""
    array = np.ascontiguousarray(array)  # the order that the header then tells
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(file, header)
    file.write(array.data)


def read_latents(path: str, level: int) -> np.ndarray:
    """Latents of a level from what `encode` wrote, or from a bare array.

    Raises:
      HaliClientError: the file cannot be read, or has none of them.
    """
    key = f"z_{level}"
    try:
        with open(path, "rb") as file, np.errstate(over="raise"):
            is_binary = path.lower().endswith((".npy", ".npz"))
            loaded = np.load(file, allow_pickle=False) if is_binary else json.load(file)
            if not isinstance(loaded, (np.ndarray, list)):
                loaded = loaded[key]
            return np.asarray(loaded, dtype=np.float32)
    except OSError as error:
        raise HaliClientError(f"--latents={path}: cannot be read: {error.strerror}") from None
    except KeyError:
        raise HaliClientError(
            f"--latents={path}: has no {key}, the latents of level {level}"
        ) from None
    except _DAMAGE as error:
        raise HaliClientError(
            f"--latents={path}: not latents as encode writes them, nor an array: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None
