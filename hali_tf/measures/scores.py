"""Accuracies of decisions, a column an attribute (or one for the class), and their summary."""

import numpy as np
from sklearn.metrics import recall_score


def accuracy(truth, decisions):
    """Share of equal entries in per cent, float64 [A]; both arrays are [N, A]."""
    return 100 * np.mean(truth == decisions, axis=0)


def balanced_accuracy(truth, decisions):
    """Mean, over the values that `truth` has, of the share of those that `decisions` has too.

    Both arrays are [N, A] of class numbers, 0 and 1 for attributes; in per cent, float64 [A].
    """
    return 100 * np.array(
        [
            recall_score(t, d, labels=np.unique(t), average="macro")
            for t, d in zip(truth.T, decisions.T)
        ]
    )


def summary(columns):
    """How each column of a table does over its rows, in the form of the paper's Tables 1 and 2.

    Args:
      columns: name to a value a row.

    Returns:
      Name to dict: mean, std (of a sample; None of a single row), best (in how many rows it is the
      highest; equal ones count for each).
    """
    highest = np.max(list(columns.values()), axis=0)
    return {
        name: {**mean_and_std(values), "best": int(np.sum(np.asarray(values) == highest))}
        for name, values in columns.items()
    }


def mean_and_std(values):
    """As in `summary`."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std}
