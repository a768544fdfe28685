"""Rows of a table with their intervals over images, and how they differ from each other."""

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
) -> dict[str, dict[str, Any]]:
    """Measures of each row, and their differences, with bootstrap intervals over images.

    Args:
      labels: of the R rows.
      values: [N, R, *numbers] of each image.
      statistic: from means float64 [S, R, *numbers] to the measures, float64 [S, R, M].
      measures: their M names.

    Returns:
      Dict: "rows", label to measure to value, with "intervals", measure to [low, high];
      "differences", label to the label of each later row to measure to {"value", "interval"} of the
      earlier less the later. What is not finite is None.
    """

    def with_differences(means):
        found = statistic(means)
        return np.concatenate(
            [found[:, :, np.newaxis], found[:, :, np.newaxis] - found[:, np.newaxis]], axis=2
        )

    point = np.mean(values, axis=0, dtype=np.float64)[np.newaxis]
    value, ends = with_differences(point)[0], intervals.bootstrap(values, with_differences)

    def at(row, column):
        return {
            name: {
                "value": finite(value[row, column, m]),
                "interval": interval(ends[:, row, column, m]),
            }
            for m, name in enumerate(measures)
        }

    rows: dict[str, Any] = {}
    for r, label in enumerate(labels):
        own = at(r, 0)
        rows[label] = {name: number["value"] for name, number in own.items()}
        rows[label]["intervals"] = {name: number["interval"] for name, number in own.items()}
    differences = {
        a: {b: at(i, j + 1) for j, b in enumerate(labels) if j > i} for i, a in enumerate(labels)
    }
    return {"rows": rows, "differences": differences}


def finite(value: float) -> float | None:
    """None for what is not finite, which JSON does not have."""
    return float(value) if np.isfinite(value) else None


def interval(ends: np.ndarray) -> list[float] | None:
    """[low, high] as a list; None if one of the two is not finite."""
    return [float(end) for end in ends] if np.isfinite(ends).all() else None


def divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The ratio, NaN where b is 0, as of random pairs of a single image."""
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)
