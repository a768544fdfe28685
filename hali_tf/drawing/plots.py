"""Plots as PNG files, all in one style."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hali_tf.files import replacing


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(path: str | os.PathLike, figure: Figure) -> None:
    """Writes a figure as PNG."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _literal(text: str) -> str:
    """A name from outside as matplotlib shows it: no formula, and not left out of a legend."""
    text = text.replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def draw_curve(
    axes: Axes, x: Sequence, y: Sequence | np.ndarray, label: str | None, **style: Any
) -> None:
    """Draws one curve, its points marked, on a faint grid."""
    axes.plot(x, y, label=label and _literal(label), marker=".", **style)
    axes.grid(which="both", alpha=0.3)


def save_curves(
    path: str | os.PathLike,
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    x: Sequence[int],
    x_label: str = "step",
) -> None:
    """Writes line plots, side by side, as PNG.

    Args:
      path: of the file.
      panels: label of the y axis to the curves of a plot: legend to values, one for each of `x`.
      x: whole numbers.
      x_label: of the x axis.
    """
    figure = new_figure(5 * len(panels), 3.5)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, curves) in zip(all_axes, panels.items()):
        for legend, values in curves.items():
            draw_curve(axes, x, values, legend)
        axes.set(xlabel=x_label, ylabel=label, ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    save_figure(path, figure)


class Curves(NamedTuple):
    """Repetitions of one measurement.

    Attributes:
      x: [P] whole numbers.
      y: float [N, P].
    """

    x: Sequence[int]
    y: np.ndarray


def save_bands(path: str | os.PathLike, panels: Mapping[str, Mapping[str, Curves]]) -> bool:
    """Writes plots by step as PNG: means of curves within the band of their values.

    Args:
      path: of the file.
      panels: label of the y axis to the curves of a plot, by their legend; a legend has the same
        colour in every plot.

    Returns:
      Whether there was something to draw, and a file was written.
    """
    panels = {
        label: curves for label, curves in panels.items() if any(c.x for c in curves.values())
    }
    if not panels:
        return False
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = new_figure(5 * columns, 3 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (label, curves) in zip(grid, panels.items()):
        for i, (legend, (x, y)) in enumerate(curves.items()):
            draw_curve(axes, x, y.mean(axis=0), legend, color=f"C{i}", markersize=3)
            axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=f"C{i}", alpha=0.2, lw=0)
        axes.set(xlabel="step", ylabel=label)
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    save_figure(path, figure)
    return True


def save_confusion(path: str | os.PathLike, counts: np.ndarray, names: Sequence[str]) -> None:
    """Writes a confusion matrix as PNG, its errors coloured.

    Args:
      path: of the file.
      counts: int [K, K]; rows are the classes, columns what they are taken for.
      names: of the K classes.
    """
    size = 2 + 0.4 * len(names)
    figure = new_figure(size, size)
    axes = figure.subplots()
    errors = counts - np.diag(np.diag(counts))
    axes.imshow(errors, cmap="Reds", vmax=1.5 * max(1, errors.max()))  # keeps the numbers legible
    for row, column in zip(*np.nonzero(counts)):
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8)
    axes.set(xlabel="taken for", ylabel="class")
    shown = [_literal(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90)
    axes.set_yticks(range(len(names)), shown)
    save_figure(path, figure)
