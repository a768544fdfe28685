"""The progress bar of all that takes long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(iterable: Iterable | None = None, words: str = "", **settings: Any) -> tqdm:
    """A bar on standard error with the time left, as wide as the terminal.

    Args:
      iterable: what it runs over; without one, `update` moves the bar.
      words: what is being done.
      **settings: further arguments of tqdm, such as `total` and `unit`.
    """
    return tqdm(iterable, words, dynamic_ncols=True, **settings)
