"""Accuracies of decisions a column (an attribute, or the class), and tables of them."""

import numpy as np
from sklearn.metrics import recall_score


def accuracy(truth, decisions):
    """Share of equal entries in per cent, float64 [A]; both arrays are [N, A]."""
    return 100 * np.mean(truth == decisions, axis=0)


def balanced_accuracy(truth, decisions):
    """Mean, over the values that `truth` has, of the share of those that `decisions` has too.

    Both arrays are [N, A] of class numbers, 0 and 1 for attributes; in per cent, float64 [A].
    """
    return 100 * np.array([
        recall_score(t, d, labels=np.unique(t), average="macro")
        for t, d in zip(truth.T, decisions.T)
    ])  # fmt: skip


def summary(columns):
    """The paper's summary of a table: how each column does over the rows.

    Args:
      columns: name to a value a row.

    Returns:
      Name to dict: mean, std (of a sample; None of a single row), best (in how many rows it is the
      highest; equal ones count for each).
    """
    highest = np.max(list(columns.values()), axis=0)
    return {
        name: {
            "mean": float(np.mean(values)),
            "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "best": int(np.sum(np.asarray(values) == highest)),
        }
        for name, values in columns.items()
    }


def cells(row):
    """Mean, std and best of a row of `summary` as text; empty for None."""
    if row is None:
        return [""] * 3
    mean, std, best = row["mean"], row["std"], row["best"]
    return [f"{mean:.2f}", "" if std is None else f"{std:.2f}", str(best)]


def table(head, rows):
    """Markdown: `head` a list of cells, `rows` a list of such; the first column is left-aligned."""
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
