"""The progress of all that takes long."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from time import monotonic
from typing import Any

from tqdm import tqdm

_SECONDS = 10  # between lines where there is no terminal
_LINE = "{desc}: {n_fmt} of {total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class _Lines:
    """Takes what tqdm draws over and over, and prints it line by line."""

    def write(self, text: str) -> None:
        """Prints what is not blank."""
        if text.strip():
            print(text.strip(), file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Nothing waits."""


class _Bar(tqdm):
    """A bar whose clock nobody sets: of one that is put back an hour, tqdm would wait that hour."""

    _time = property(lambda self: monotonic, lambda self, _: None)


def progress_bar(iterable: Iterable | None = None, words: str = "", **settings: Any) -> tqdm:
    """A bar on standard error with the time left, as wide as the terminal.

    Where standard error is no terminal: a plain line every ten seconds.

    Args:
      iterable: what it runs over; without one, `update` moves the bar.
      words: what is being done.
      **settings: further arguments of tqdm, such as `total` and `unit`.
    """
    if sys.stderr.isatty():
        return _Bar(iterable, words, dynamic_ncols=True, miniters=1, **settings)
    lines = {"file": _Lines(), "bar_format": _LINE, "ascii": True, "miniters": 1}
    times = {"delay": _SECONDS, "mininterval": _SECONDS, "maxinterval": 2 * _SECONDS}
    return _Bar(iterable, words, **{**settings, **lines, **times})
