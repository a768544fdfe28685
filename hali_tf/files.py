"""Files that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Yields a temporary path in the same folder; it is renamed to `path` if no error is raised."""
    partial = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        yield partial
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path`, and waits until it is on the disk."""
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: str | os.PathLike, missing: Any = None) -> Any:
    """Returns what a file of JSON holds, or `missing` if there is no such file."""
    if not os.path.exists(path):
        return missing
    with open(path, encoding="utf-8") as f:
        return json.load(f)
