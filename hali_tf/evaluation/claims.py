"""What the paper claims, and what an evaluation found of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hali_tf.measures.intervals import verdict


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found of a claim.

    Attributes:
      figure: the numbers that are compared, in words.
      interval: of the number that is above 0 if the claim holds; None where there is none.
      verdict: "holds", "does not hold" or "undecided"; or "not measured: " and why.
    """

    figure: str
    interval: Sequence[float] | None
    verdict: str


def above(figure: str, interval: Sequence[float] | None) -> Finding:
    """The finding on a claim that holds where the interval is above 0; undecided without one."""
    return Finding(figure, interval, verdict(interval) if interval else "undecided")


def of_all(findings: Mapping[str, Finding]) -> Finding:
    """Combines the findings of several classifiers, by name, on one claim.

    Its interval reaches over those of all of them; there is none where one has none.
    """
    figures = "; ".join(f"{name}: {finding.figure}" for name, finding in findings.items())
    intervals = [finding.interval for finding in findings.values() if finding.interval]
    if len(intervals) < len(findings):
        return above(figures, None)
    lows, highs = zip(*intervals)
    return above(figures, [min(lows), max(highs)])


def compared(
    table: Mapping[str, Any], own: str, other: str, measure: str, sign: int = 1, form: str = ".3g"
) -> Finding:
    """The finding on the claim that one row of a table is above another.

    Args:
      table: with "rows" and "differences", see `tables.measured`.
      own: label of the row.
      other: label of the row that it is compared with.
      measure: which of the measures.
      sign: -1 if the claim is that it is below the other.
      form: of the two numbers in the figure.
    """
    rows, differences = table["rows"], table["differences"]
    if other in differences[own]:
        interval = differences[own][other][measure]["interval"]
    else:
        interval, sign = differences[other][own][measure]["interval"], -sign
    values = (rows[label][measure] for label in (own, other))
    figure = " and ".join("–" if value is None else f"{value:{form}}" for value in values)
    return above(figure, interval and sorted(sign * end for end in interval))


def roles(labels: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Which row of a table is which of the paper's models.

    Args:
      labels: name of each subject, the run's own first, to the labels of its levels.

    Returns:
      Of "z_1", "z_2" (the top level), "ALI", "VAE" those that there are, with their labels; nothing
      if the run has one level.
    """
    own, *others = labels
    if len(labels[own]) < 2:
        return {}
    found = {"z_1": labels[own][0], "z_2": labels[own][-1]}
    for name in others:
        if kind_of(name) in ("ALI", "VAE"):
            found.setdefault(kind_of(name), labels[name][0])
    return found


def kind_of(name: str) -> str:
    """The kind of model that a subject is: "ALI" of "ALI seed_2"."""
    return name.split()[0]
