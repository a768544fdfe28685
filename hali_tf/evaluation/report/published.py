"""The paper's figures, to stand beside ours: published.json, with their source."""

import functools
import json
from importlib.resources import files


def attribute_preservation():
    """Table 5: for each of Data, VAE, ALI, HALI z_1, HALI z_2 a dict of attribute to per cent."""
    return _columns("attribute_preservation")


def attribute_prediction():
    """Table 6: for each of seven methods a dict of attribute to balanced accuracy in per cent."""
    return _columns("attribute_prediction")


def mnist_100_labels():
    """Table 3: for each method a dict of errors of 10,000, std (or None), and whence."""
    return _read()["mnist_100_labels"]["rows"]


def source(name):
    """Where the figures of a table are from; `name` is that of a function above."""
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
