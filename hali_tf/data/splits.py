"""One rule for every set: a split that it does not define is cut from its training split."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from hali_tf.data.source import SPLITS

_Rows = TypeVar("_Rows", list, np.ndarray)


def cut_size(count: int) -> int:
    """Returns how many of `count` training images a missing split takes: 5 %, at least one."""
    return max(1, count // 20)


def cut(rows: _Rows, present: Iterable[str]) -> dict[str, _Rows]:
    """Cuts the missing splits from the end of the training rows: validation, then test.

    Args:
      rows: The training images' rows or files, in an order that is always the same and has
        nothing to do with what they show.
      present: The splits that the set defines itself.

    Returns:
      The rows of "train" and of every split that is not in `present`.
    """
    missing: list[str] = [name for name in SPLITS[1:] if name not in present]
    size = cut_size(len(rows))
    stop = len(rows) - size * len(missing)
    parts = {"train": rows[:stop]}
    for place, name in enumerate(missing):
        parts[name] = rows[stop + place * size : stop + (place + 1) * size]
    return parts
