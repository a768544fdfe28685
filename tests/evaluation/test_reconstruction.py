"""Errors by hand, with models that answer what they are told to."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.data import Split
from hali_tf.evaluation import reconstruction


class Shifts:
    """Reconstructs every image `10 * level` brighter."""

    num_levels = 2

    def reconstruct(self, images, level):
        return images + tf.cast(10 * level, tf.uint8)


def split_of(count):
    images = np.random.default_rng(0).integers(0, 200, (count, 4, 4, 1), dtype=np.uint8)
    return Split(images)


def test_rmse_is_per_pixel_and_level():
    errors = reconstruction.errors(Shifts(), split_of(7), batch_size=3)
    assert errors["rmse_1"] == pytest.approx(10 / 255)
    assert errors["rmse_2"] == pytest.approx(20 / 255)
    assert errors["ratio_2"] == pytest.approx(errors["rmse_2"] / errors["random_pairs"])


def test_limit_takes_the_first():
    split = split_of(9)
    limited = reconstruction.errors(Shifts(), split, limit=4)
    assert limited["random_pairs"] == reconstruction.random_pairs(split.images[:4])


def test_random_pairs_by_hand():
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    assert reconstruction.random_pairs(images) == 1.0
    three = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
    # Any order of three is one circle through all three pairs.
    expected = np.sqrt((0.2**2 + 0.8**2 + 1.0**2) / 3)
    assert reconstruction.random_pairs(three) == pytest.approx(expected)


def test_one_image_has_no_ratio():
    errors = reconstruction.errors(Shifts(), split_of(1))
    assert errors["random_pairs"] == 0
    assert "ratio_1" not in errors
    assert "0.0392" in reconstruction.table("folder", {"step": 3, **errors})


def test_table_names_each_level():
    text = reconstruction.table(
        "digits", {"step": 5, "rmse_1": 0.05, "rmse_2": 0.1, "random_pairs": 0.4,
                   "ratio_1": 0.125, "ratio_2": 0.25}
    )  # fmt: skip
    first, pairs, *levels = text.splitlines()
    assert "step 5, digits" in first and "0.4000" in pairs
    assert ["0.125" in levels[0], "0.250" in levels[1]] == [True, True]
