"""Means over the steps since something was last written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf


class Window:
    """Sums of what was measured since the last line of the log.

    Attributes:
      names: of all that may be measured.
      variable: float64 [2, N], sums and numbers of the N names; in a checkpoint, so that a run that
        resumes from the middle of a window logs what one that was never stopped does.

    Args:
      names: as above.
    """

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self.variable = tf.Variable(tf.zeros([2, len(names)], tf.float64), trainable=False)

    def add(self, values: Mapping[str, float]) -> None:
        """Adds what a step measured."""
        sums = self.variable.numpy()
        for name, value in values.items():
            sums[:, self.names.index(name)] += (value, 1)
        self.variable.assign(sums)

    def take(self) -> dict[str, float]:
        """Returns the means and starts again from zero."""
        means = {
            name: float(total / count)
            for name, total, count in zip(self.names, *self.variable.numpy())
            if count
        }
        self.variable.assign(tf.zeros_like(self.variable))
        return means
