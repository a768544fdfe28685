"""The splits that an evaluation uses."""

import dataclasses

import numpy as np
import pytest

from hali_tf.data import Source, Split
from hali_tf.errors import UserError
from tests.evaluation.linear import Linear


def test_held_out_splits_are_cut_and_training_images_are_not(context_of, source):
    context = context_of(Linear(), limit=4)
    train = source.load("train").images
    assert len(train) == 20
    np.testing.assert_array_equal(context.split("train").images, train)
    for name in ("validation", "test"):
        expected = source.load(name).part(4).images
        assert len(expected) == 4
        np.testing.assert_array_equal(context.split(name).images, expected)


def test_split_of_one_image_is_refused(context_of):
    one = Source("npz", (16, 16, 1), lambda name: Split(np.zeros([1, 16, 16, 1], np.uint8)))
    context = dataclasses.replace(context_of(Linear()), source=one)
    with pytest.raises(UserError, match="has 1 test image, and an evaluation takes 2 or more"):
        context.split("test")
