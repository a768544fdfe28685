"""Names in plots are shown as they are."""

import numpy as np
from PIL import Image

from hali_tf.drawing import plots


def test_names_are_no_formulas(tmp_path):
    names = ["lr$5_$6", "a$^$", "_base"]
    plots.save_confusion(tmp_path / "c.png", np.eye(3, dtype=int), names)
    curves = {name: plots.Curves([1, 2], np.ones([2, 2])) for name in names}
    assert plots.save_bands(tmp_path / "b.png", {"error": curves})
    for name in ("c.png", "b.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 100


def test_no_name_is_left_out_of_the_legend():
    axes = plots.new_figure(3, 3).subplots()
    for name in ("_base", "other", None):
        plots.draw_curve(axes, [1, 2], [1, 2], name)
    assert axes.get_legend_handles_labels()[1] == ["\u200b_base", "other"]
