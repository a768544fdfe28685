"""metrics.jsonl: what was measured, one JSON object a line, each with its step."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import numpy as np

from hali_tf.files import write_text


class MetricsFile:
    """Appends lines; those of steps that a kill undid are dropped, for they come again.

    Args:
      path: of the file.
      last_step: the step that the run goes on from.
    """

    def __init__(self, path, last_step):
        self._path = path
        lines = [line for line in read(path) if line["step"] <= last_step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
        self.best_error = min((mean_error(l) for l in lines if "rmse_1" in l), default=np.inf)

    def append(self, values: dict[str, Any]) -> None:
        """Adds a line."""
        with open(self._path, "a", encoding="utf-8") as f:
            f.write(json.dumps(values) + "\n")


def read(path: str) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl as dicts, without one that a kill left unfinished."""
    lines = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
    return lines


def mean_error(errors: dict[str, float]) -> float:
    """Mean RMSE over the levels, by which the best checkpoint is chosen."""
    return float(np.mean([value for name, value in errors.items() if name.startswith("rmse_")]))
