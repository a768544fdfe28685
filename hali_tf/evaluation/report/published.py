"""The paper's numbers, to compare with ours: published.json, with their sources."""

from __future__ import annotations

import functools
import json
from importlib.resources import files


def attribute_preservation() -> dict[str, dict[str, float]]:
    """Table 5: for each of Data, VAE, ALI, HALI z_1, HALI z_2 a dict of attribute to per cent."""
    return _columns("attribute_preservation")


def attribute_prediction() -> dict[str, dict[str, float]]:
    """Table 6: for each of seven methods a dict of attribute to balanced accuracy in per cent."""
    return _columns("attribute_prediction")


def mnist_100_labels() -> dict[str, dict]:
    """Table 3: for each method a dict of "errors" of 10,000, "std" (or None), "from" where."""
    return _read()["mnist_100_labels"]["rows"]


def source(name: str) -> str:
    """Where the numbers of a table are from; `name` is that of a function above."""
    return _read()[name]["source"]


def _columns(name):
    table = _read()[name]
    return {
        column: {attribute: row[i] for attribute, row in table["rows"].items()}
        for i, column in enumerate(table["columns"])
    }


@functools.lru_cache(maxsize=1)
def _read():
    return json.loads((files(__package__) / "published.json").read_text(encoding="utf-8"))
