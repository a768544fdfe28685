"""Rows of a table with their intervals over images, and how each differs from the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hali_tf.measures import intervals


def measured(
    labels: Sequence[str],
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    measures: Sequence[str],
    seed: int = 0,
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Measures of each row, and their differences, with bootstrap intervals over images.

    Args:
      labels: of the R rows.
      values: [N, R, *numbers] of each image.
      statistic: from means float64 [S, R, *numbers] to the measures, float64 [S, R, M].
      measures: their M names.
      seed: of the bootstrap.

    Returns:
      (rows, differences): label to measure to value, with "intervals", measure to [low, high]; and
      for all rows but the first, label to measure to {"value", "interval"} of the row less the
      first. What is not finite is None.
    """

    def both(means):
        found = statistic(means)
        return np.stack([found, found - found[:, :1]], axis=1)

    value, difference = both(np.mean(values, axis=0, dtype=np.float64)[np.newaxis])[0]
    ends = intervals.bootstrap(values, both, seed)
    rows: dict[str, dict[str, Any]] = {}
    differences: dict[str, dict[str, Any]] = {}
    for r, label in enumerate(labels):
        rows[label] = {name: finite(value[r, m]) for m, name in enumerate(measures)}
        rows[label]["intervals"] = {
            name: _interval(ends[:, 0, r, m]) for m, name in enumerate(measures)
        }
        differences[label] = {
            name: {"value": finite(difference[r, m]), "interval": _interval(ends[:, 1, r, m])}
            for m, name in enumerate(measures)
        }
    return rows, dict(list(differences.items())[1:])


def finite(value: float) -> float | None:
    """The number for JSON; None if it is not finite."""
    return float(value) if np.isfinite(value) else None


def _interval(ends):
    return [float(end) for end in ends] if np.isfinite(ends).all() else None
