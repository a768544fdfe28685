"""Films, frame by frame."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from hali_tf.drawing.films import save_gif, there_and_back


def frames(count, channels):
    """Pictures of one colour each, all different."""
    values = np.linspace(0, 240, count * channels, dtype=np.uint8).reshape(count, channels)
    return [Image.new("RGB", (6, 4), tuple([*value] * 3)[:3]) for value in values.tolist()]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_frame_is_there_and_equal_ones_are_one(tmp_path, channels):
    first, second, third = frames(3, channels)
    path = tmp_path / "film.gif"
    save_gif(path, [first, second, second, second, third])
    with Image.open(path) as film:
        assert film.info["loop"] == 0  # without an end
        shown = [(f.info["duration"], f.convert("RGB")) for f in ImageSequence.Iterator(film)]
    assert [duration for duration, _ in shown] == [100, 300, 100]
    for (_, frame), expected in zip(shown, (first, second, third)):
        np.testing.assert_array_equal(frame, expected)
    assert [p.name for p in tmp_path.iterdir()] == ["film.gif"]


def test_there_and_back_rests_at_both_ends():
    a, b, c, d = frames(4, 1)
    assert there_and_back([a, b, c, d]) == [*[a] * 8, b, c, *[d] * 8, c, b]
    assert there_and_back([a, d]) == [*[a] * 8, *[d] * 8]
