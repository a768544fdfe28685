"""Figures with words in them: strips of images with headings, and curves."""

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hali_tf.evaluation.figures import grid
from hali_tf.files import replacing

_DPI = 100
_SMALLEST, _GAP = 96, 2  # pixels: an image is drawn at least so wide, and so far from the next


def save_strips(path, rows, columns, labels):
    """Writes rows of images as PNG, with a heading over each column and a label before each row.

    Args:
      path: of the file; replaced if it is there.
      rows: uint8 [R, N, H, W, C].
      columns: N headings.
      labels: R labels.
    """
    rows = np.asarray(rows)
    count, width, height, side = rows.shape[:4]
    factor = -(-_SMALLEST // side)  # whole, and before matplotlib has it: pixels stay squares
    canvas = grid(rows.reshape(-1, *rows.shape[2:]), width, _GAP)
    canvas = canvas.repeat(factor, axis=0).repeat(factor, axis=1)
    figure = Figure(figsize=(canvas.shape[1] / _DPI, canvas.shape[0] / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(np.broadcast_to(canvas, canvas.shape[:2] + (3,)), interpolation="nearest")
    axes.set_xticks(_centres(width, side, factor), columns, fontsize=9)
    axes.set_yticks(_centres(count, height, factor), labels, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _save(figure, path)


def _centres(count, side, factor):
    """Where the middles of `count` images lie along an axis, in pixels."""
    return [factor * (i * (side + _GAP) + side / 2) - 0.5 for i in range(count)]


def save_curves(path, curves, x_label, y_label, dashed=()):
    """Writes lines as PNG.

    Args:
      path: of the file; replaced if it is there.
      curves: label to (x values, y values).
      x_label, y_label: of the axes.
      dashed: labels of the lines that are something to compare with.
    """
    figure = Figure(figsize=(6, 4), dpi=_DPI)
    axes = figure.add_subplot()
    for label, (x, y) in curves.items():
        axes.plot(x, y, "--" if label in dashed else "o-", markersize=3, label=label)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)


def _save(figure, path):
    FigureCanvasAgg(figure)
    with replacing(path) as beside, matplotlib.rc_context({"savefig.facecolor": "white"}):
        figure.savefig(beside, format="png", bbox_inches="tight", pad_inches=0.1)
