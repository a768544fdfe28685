"""Intervals by hand and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from hali_tf.measures import intervals


def test_two_images_by_hand():
    # Of two images, both draws are the first, both the second, or one of each: means 0, 1 and 0.5
    # with probabilities 1/4, 1/4, 1/2. So the ends at 2.5 and 97.5 % are 0 and 1.
    np.testing.assert_array_equal(intervals.bootstrap(np.array([0.0, 1.0])), [0, 1])
    np.testing.assert_array_equal(intervals.bootstrap(np.full(5, 3.0)), [3, 3])
    assert np.isnan(intervals.bootstrap(np.ones(1))).all()


def test_equals_scipys_bootstrap_of_a_ratio_of_means():
    rng = np.random.default_rng(0)
    pairs = np.stack([rng.normal(3, 1, 200), rng.exponential(2, 200)], axis=1)
    found = intervals.bootstrap(pairs, lambda means: means[:, 0] / means[:, 1])
    expected = stats.bootstrap(
        (pairs[:, 0], pairs[:, 1]),
        lambda a, b, axis: np.mean(a, axis) / np.mean(b, axis),
        paired=True,
        method="percentile",
        n_resamples=20000,
        random_state=rng,
    ).confidence_interval
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_of_few_images_it_is_as_wide_as_students_interval():
    few = np.random.default_rng(0).normal(5, 2, [16, 400])
    low, high = intervals.bootstrap(few)
    students = np.diff([intervals.of_mean(values) for values in few.T])[:, 0]
    # The percentiles 2.5 and 97.5 are 0.88 times as wide.
    assert np.mean((high - low) / students) == pytest.approx(1, abs=0.03)


def test_differences_are_paired():
    """Two models whose errors differ by 1 on each image, whatever the image."""
    of_image = np.random.default_rng(0).normal(0, 100, 50)
    found = intervals.bootstrap(
        np.stack([of_image, of_image + 1], axis=1), lambda means: means[:, 1] - means[:, 0]
    )
    np.testing.assert_allclose(found, [1, 1])


def test_equal_seeds_give_equal_intervals_and_shapes_are_kept():
    values = np.random.default_rng(0).random((20, 3, 2))
    found = intervals.bootstrap(values, seed=1)
    assert found.shape == (2, 3, 2)
    np.testing.assert_array_equal(found, intervals.bootstrap(values, seed=1))
    assert (found != intervals.bootstrap(values, seed=2)).any()


def test_a_few_values_have_students_interval():
    low, high = intervals.of_mean([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 2, 2, 1 / 3**0.5))
    assert intervals.of_mean([1.0]) is None


def test_jackknife_of_a_mean_is_students_interval():
    x = np.random.default_rng(0).normal(5, 2, 40)
    without = intervals.left_out(np.mean, x, groups=40)
    np.testing.assert_allclose(without[3], np.delete(x, 3).mean())
    np.testing.assert_allclose(intervals.jackknife(x.mean(), without), intervals.of_mean(x))


def test_groups_are_left_out_of_all_sets_at_once():
    a, b = np.arange(6.0), 10 * np.arange(6.0)
    found = intervals.left_out(lambda x, y: x.sum() + y.sum(), a, b, groups=3)
    np.testing.assert_allclose(found, 11 * (15 - np.array([0 + 3, 1 + 4, 2 + 5])))
    assert len(intervals.left_out(lambda x, y: 0.0, a, b)) == 6


def test_verdicts():
    assert intervals.verdict([0.1, 2]) == "holds"
    assert intervals.verdict([-2, -0.1]) == "does not hold"
    assert intervals.verdict([-0.1, 0.1]) == "undecided"
