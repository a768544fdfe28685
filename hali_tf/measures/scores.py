"""Accuracies of decisions, one column per attribute or one for the class, and their summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def accuracy(truth: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Share of equal entries in per cent, float64 [A]; both arrays are [N, A]."""
    return 100 * np.mean(truth == decisions, axis=0)


def balanced_accuracy(truth: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Mean recall over the values that occur in a column of `truth`.

    Both arrays are [N, A] of class numbers, 0 and 1 for attributes; in per cent, float64 [A].
    """
    return balanced(recalls(truth, decisions, np.unique(truth)).mean(axis=0))


def recalls(
    truth: np.ndarray, decisions: np.ndarray, values: Sequence[int] | np.ndarray
) -> np.ndarray:
    """What `balanced` is computed from, of each image.

    Args:
      truth: [N, A] of class numbers, 0 and 1 for attributes.
      decisions: the same.
      values: the V numbers.

    Returns:
      bool [N, 2, V, A]: for each of the values, whether it is the truth; and whether it also is the
      decision.
    """
    is_value = truth[:, np.newaxis] == np.asarray(values)[:, np.newaxis]
    return np.stack([is_value, is_value & (truth == decisions)[:, np.newaxis]], axis=1)


def balanced(means: np.ndarray) -> np.ndarray:
    """Balanced accuracy in per cent, [..., A], from means [..., 2, V, A] over `recalls`."""
    occurs, found = means[..., 0, :, :], means[..., 1, :, :]
    recall = np.divide(found, occurs, out=np.zeros_like(found), where=occurs > 0)
    return 100 * recall.sum(axis=-2) / (occurs > 0).sum(axis=-2)


def summary(columns: Mapping[str, Sequence[float]]) -> dict[str, dict]:
    """Each column of a table summarised over its rows, as in the paper's Tables 1 and 2.

    Args:
      columns: name to one value per row.

    Returns:
      Name to dict: "mean" (None without rows), "std" (of a sample; None of a single row), "best"
      (in how many rows it is the highest; ties count for each).
    """
    highest = np.max(list(columns.values()), axis=0)
    return {
        name: {**mean_and_std(values), "best": int(np.sum(np.asarray(values) == highest))}
        for name, values in columns.items()
    }


def mean_and_std(values: Sequence[float]) -> dict[str, float | None]:
    """As in `summary`."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)) if len(values) else None, "std": std}
