"""Line plots as PNG files."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hali_tf.files import replacing


def save_curves(path, panels, x, x_label="step"):
    """Writes line plots, side by side, as PNG.

    Args:
      path: of the file.
      panels: dict of what is on the y axis to a dict of legend to values, one for each of `x`.
      x: what they are plotted over, whole numbers.
      x_label: its name.
    """
    figure = Figure(figsize=(5 * len(panels), 3.5), layout="constrained")
    for axes, (label, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items()
    ):
        for legend, values in curves.items():
            axes.plot(x, values, label=legend, marker=".")
        axes.set(xlabel=x_label, ylabel=label, ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120)
