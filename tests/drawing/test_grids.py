"""Grids against arrays made by hand."""

import numpy as np
import pytest
from PIL import Image

from hali_tf.drawing import grids
from hali_tf.drawing.plots import save_curves


def test_grid_fills_rows_on_white():
    images = np.array([10, 20, 30], np.uint8).reshape(3, 1, 1, 1)
    expected = [[10, 255, 20], [255, 255, 255], [30, 255, 255]]
    np.testing.assert_array_equal(grids.grid(images, 2, gap=1)[..., 0], expected)


def test_grid_without_gap_keeps_colours():
    images = np.arange(2 * 2 * 1 * 3, dtype=np.uint8).reshape(2, 2, 1, 3)
    np.testing.assert_array_equal(
        grids.grid(images, 2, gap=0), np.concatenate([images[0], images[1]], axis=1)
    )


def test_reconstructions_stand_below_their_originals():
    originals = np.array([1, 2, 3], np.uint8).reshape(3, 1, 1, 1)
    picture = grids.reconstruction_grid(originals, [originals + 10, originals + 20], columns=2)
    rows = picture[..., 0]
    column = [value for value in rows[:, 0] if value != 255]
    assert column == [1, 11, 21, 3, 13, 23]
    assert [value for value in rows[:, 3] if value != 255] == [2, 12, 22]


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_png_is_enlarged_by_a_whole_factor(tmp_path, channels, mode):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, channels), dtype=np.uint8)
    path = tmp_path / "picture.png"
    grids.save_png(path, image, smallest=20)
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == (mode, (18, 12))
        pixels = np.asarray(picture).reshape(12, 18, channels)
    np.testing.assert_array_equal(pixels[::3, ::3], image)
    np.testing.assert_array_equal(pixels[2::3, 2::3], image)
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_curves_are_drawn_side_by_side(tmp_path):
    path = tmp_path / "curves.png"
    save_curves(path, {"a": {"z_1": [3, 2], "z_2": [4, 3]}}, [10, 20])
    save_curves(tmp_path / "two.png", {"a": {"z_1": [3, 2]}, "b": {"z_1": [1, 0]}}, [10, 20])
    with Image.open(path) as one, Image.open(tmp_path / "two.png") as two:
        assert (2 * one.width, one.height) == two.size
        colours = np.asarray(one.convert("RGB")).reshape(-1, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):  # matplotlib's first two
        assert (colours == colour).all(1).sum() > 50
