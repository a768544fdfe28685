"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a path beside `path`; what was written there becomes `path` if no error came."""
    beside = f"{path}.{os.getpid()}.tmp"
    try:
        yield beside
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def write_text(path: str, text: str) -> None:
    """Writes `text` to `path`."""
    with replacing(path) as beside, open(beside, "w", encoding="utf-8") as f:
        f.write(text)


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=1) + "\n")
