"""metrics.jsonl: what was measured, one JSON object a line, each with its step."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import numpy as np

from hali_tf import files


class MetricsFile:
    """Appends lines; those of steps that a kill undid are dropped, for they come again.

    Args:
      path: of the file.
      last_step: the step that the run resumes from.
    """

    def __init__(self, path, last_step):
        self._path = path
        lines = [line for line in read(path) if line["step"] <= last_step]
        self._text = "".join(json.dumps(line) + "\n" for line in lines)
        files.write_text(path, self._text)
        self.best_error = min((mean_error(l) for l in lines if "rmse_1" in l), default=np.inf)

    def append(self, values: dict[str, Any]) -> None:
        """Adds a line; an object store has no appending, and gets the whole text."""
        line = json.dumps(values) + "\n"
        if files.scheme(self._path):
            self._text += line
            return files.write_text(self._path, self._text)
        with open(self._path, "a", encoding="utf-8") as f:
            f.write(line)


def read(path: str) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl as dicts, without one that a kill left unfinished."""
    lines = []
    if files.exists(path):
        with files.opened(path, "rb") as f:  # a damaged line may be no UTF-8
            for line in f:
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
    return lines


def read_run(run_dir: str) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; see `read`."""
    return read(os.path.join(run_dir, "metrics.jsonl"))


def mean_error(errors: dict[str, float]) -> float:
    """Mean RMSE over the levels, by which the best checkpoint is chosen."""
    return float(np.mean([value for name, value in errors.items() if name.startswith("rmse_")]))
