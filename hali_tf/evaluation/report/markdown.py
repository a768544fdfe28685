"""Markdown of reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_BEGINNINGS = "0123456789+-–["  # of cells that are numbers


def page(*parts: str) -> str:
    """Paragraphs, tables and pictures below each other; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)


def plain(name: str) -> str:
    """A name that comes with the data, such as a class: shown as it is, no link and no picture."""
    return re.sub(r"[\\`*<\[\]]", r"\\\g<0>", name)


def table(head: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> str:
    """A table, its first column and those with words aligned to the left.

    Args:
      head: names of the columns; "" above row labels.
      rows: cells: text, an integer, a float (written with four digits), or None (a dash).
    """
    head = [_cell(name) for name in head]
    cells = [[_cell(value) for value in row] for row in rows]
    words = [any(row[i][:1] not in _BEGINNINGS for row in cells) for i in range(len(head))]
    rule = ["---", *("---" if text else "---:" for text in words[1:])]
    lines = [head, rule, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value):
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:#.4g}"
    return str(value).replace("|", r"\|")  # such as in the name of a run


def with_interval(
    value: float | None, interval: Sequence[float] | None, form: str = "#.4g"
) -> str | None:
    """A cell: the number with the ends of its interval, as far as there are any."""
    if value is None:
        return None
    ends = f" [{', '.join(format(end, form) for end in interval)}]" if interval else ""
    return f"{value:{form}}{ends}"


def cell(row: dict[str, Any], measure: str, form: str = "#.4g") -> str | None:
    """A cell of a row's measure, as of `with_interval`; row["intervals"] has the ends of each."""
    return with_interval(row[measure], row["intervals"][measure], form)
