"""Strips, pixel by pixel."""

import numpy as np
import pytest
from PIL import Image

from hali_tf.drawing.strips import Strips, save_strips


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_there_and_crisp(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4, channels), dtype=np.uint8)
    path = tmp_path / "strips.png"
    save_strips(path, Strips(images, ["one", "two\nlines", ""], ["first", ""]))
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    factor = 24  # to 96 pixels
    page = pixels[-8 - factor * 12 : -8, -8 - factor * 16 : -8]  # images and gaps of two
    for row in range(2):
        for column in range(3):
            y, x = factor * 7 * row, factor * 6 * column
            expected = images[row, column].repeat(factor, axis=0).repeat(factor, axis=1)
            shown = page[y : y + factor * 5, x : x + factor * 4]
            np.testing.assert_array_equal(shown, np.broadcast_to(expected, shown.shape))
    assert (pixels[: -8 - factor * 12] < 128).any()  # headings
    assert (pixels[:, : -8 - factor * 16] < 128).any()  # labels
    assert [p.name for p in tmp_path.iterdir()] == ["strips.png"]
