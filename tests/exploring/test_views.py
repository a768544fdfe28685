"""What the tabs show, with the linear model: computed on paper."""

import numpy as np
import pytest

from hali_tf.evaluation import axes
from hali_tf.exploring import views
from hali_tf.measures.latents import scale
from hali_tf.models.coder import Coder
from tests.evaluation.linear import Linear

IMAGES = np.array([[[131, 89], [91, 129]], [[75, 85], [85, 75]]], np.uint8)[..., np.newaxis]


@pytest.fixture(scope="module")
def coder():
    return Coder(Linear())


def test_each_level_has_its_error(coder):
    close, content = views.reconstruct(coder, IMAGES[0])
    np.testing.assert_array_equal(close.image, IMAGES[0])
    np.testing.assert_array_equal(content.image[..., 0], [[130, 90], [90, 130]])
    assert close.rmse == 0 and content.rmse == pytest.approx(1 / 255) and content.seconds > 0


def test_rounds_come_one_by_one_the_top_level_first(coder):
    mask = np.array([[True, False], [False, False]])
    rounds = views.inpaint(coder, IMAGES[1], mask)
    caption, filled = next(rounds)
    assert caption == "mean colour" and filled[0, 0, 0] == 82  # of 85, 85 and 75
    rest = list(rounds)
    assert [c for c, _ in rest] == [f"round {r}, level {l}" for r, l in enumerate((2, 2, 1, 1), 1)]
    for _, filled in rest:
        np.testing.assert_array_equal(filled[~mask], IMAGES[1][~mask])


def test_entries_are_set_and_details_kept(coder):
    zs = coder.encode(IMAGES[:1])  # z_2 = (1, 2); z_1 has 0.1 on one half, -0.1 on the other
    changed = views.vary(coder, zs, {0: 2.0}, {}, keep_details=True)
    np.testing.assert_array_equal(changed, IMAGES[0] + 10)
    without = views.vary(coder, zs, {0: 2.0}, {}, keep_details=False)
    np.testing.assert_array_equal(without[..., 0], [[140, 100], [100, 140]])
    by_factor = axes.innovate(coder, zs, scale(zs[1], 0, 2.0))
    np.testing.assert_array_equal(changed, by_factor[0])
    np.testing.assert_array_equal(zs[1], coder.encode(IMAGES[:1])[1])


def test_maps_are_multiplied(coder):
    zs = coder.encode(IMAGES[:1])
    np.testing.assert_array_equal(views.vary(coder, zs, {}, {}, keep_details=True), IMAGES[0])
    inverted = views.vary(coder, zs, {}, {0: -1.0}, keep_details=True)
    np.testing.assert_array_equal(inverted, 200 - IMAGES[0])
    rough = views.vary(coder, zs, {}, {0: 2.0}, keep_details=False)
    np.testing.assert_array_equal(rough[..., 0], [[160, 80], [80, 160]])


def test_interpolation_ends_at_the_reconstructions(coder):
    frames = views.interpolate(coder, *IMAGES)
    assert len(frames) == 2
    for level, of_level in enumerate(frames, start=1):
        assert of_level.shape == (views.FRAMES, 2, 2, 1)
        ends = coder.reconstruct(IMAGES, level)
        np.testing.assert_array_equal(of_level[[0, -1]], ends)


def test_samples_follow_from_the_seed(coder):
    images = views.sample(coder, 3, 5)
    np.testing.assert_array_equal(images, views.sample(coder, 3, 5))
    assert len(images) == 5 and (images != views.sample(coder, 4, 5)).any()
