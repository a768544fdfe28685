"""What every image set looks like to the rest of the project."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Callable

import numpy as np

from hali_tf.errors import UserError, reason

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of an image set, decoded.

    Attributes:
      images: uint8 [N, H, W, C], 0..255; an array or a read-only memory map.
      labels: int64 [N] class numbers, with -1 for an image that has none; uint8 [N, A] of 0/1 for
        A attributes; or None.
      skipped: Number of images of the set that could not be read and are not in `images`.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    skipped: int = 0

    def draw(self, most: int) -> np.ndarray:
        """Positions of at most `most` images, by a fixed draw; a larger one begins with a smaller.

        Neither the first ones nor every k-th would do: a set may have its classes in order or in
        turns.
        """
        return np.random.default_rng(0).permutation(len(self.images))[:most]

    def part(self, most: int) -> Split:
        """The images of `draw`, in its order and in memory."""
        rows = self.draw(most)
        labels = None if self.labels is None else self.labels[rows]
        return Split(np.asarray(self.images[rows]), labels, self.skipped)


def check_names(where: str, names: Sequence[str]) -> None:
    """Raises UserError if a class or attribute has the name of another."""
    twice = [name for name, times in collections.Counter(names).items() if times > 1]
    if twice:
        raise UserError(f"{where}: {twice[0]!r} is listed twice; give each its own name")


@dataclasses.dataclass(frozen=True)
class Source:
    """An image set that was found and checked, but not yet decoded.

    Attributes:
      name: What `--data` named, short names spelled out ("tfds:mnist").
      image_shape: (H, W, C) of every image of every split.
      loader: Decodes one split; called through `load`.
      label_names: Name of each class, None if unnamed; or of each attribute where `multi_label`.
      multi_label: Whether labels are attributes [N, A] and not class numbers [N].
    """

    name: str
    image_shape: tuple[int, int, int]
    loader: Callable[[str], Split] = dataclasses.field(repr=False)
    label_names: tuple[str, ...] | None = None
    multi_label: bool = False

    def class_names(self, count: int) -> tuple[str, ...]:
        """The names of its `count` classes, their numbers where it has no names."""
        return self.label_names or tuple(map(str, range(count)))

    def load(self, split: str) -> Split:
        """Decodes a split, or opens what an earlier run decoded.

        Args:
          split: "train", "validation" or "test".

        Returns:
          The split; the same call gives the same images in the same order on every machine.

        Raises:
          UserError: If the data cannot be fetched or read, if images cannot be decoded (more than
            half, or any where the source was opened strictly), or if the cache disk is full.
          ValueError: If `split` is none of the three names.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; received {split!r}")
        try:
            return self.loader(split)
        except OSError as error:  # a disk that went away while the images are read
            raise UserError(
                f"--data={self.name}: its {split} images cannot be read ({reason(error)})"
            ) from error
