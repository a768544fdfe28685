"""The splits that an evaluation uses."""

import dataclasses

import numpy as np
import pytest

from hali_tf.data import Source, Split
from hali_tf.errors import UserError
from tests.evaluation.linear import Linear


def test_held_out_splits_are_cut_and_training_images_are_not(context_of, source):
    context = context_of(Linear(), limit=4)
    for name, count in (("train", 20), ("validation", 4), ("test", 4)):
        expected = source.load(name).part(count).images
        np.testing.assert_array_equal(context.split(name).images, expected)


@pytest.mark.parametrize("count, said", [(1, "1 test image,"), (5, "5 test images,")])
def test_too_few_test_images_for_intervals_are_refused(context_of, count, said):
    few = Source("npz", (16, 16, 1), lambda name: Split(np.zeros([count, 16, 16, 1], np.uint8)))
    context = dataclasses.replace(context_of(Linear()), source=few)
    with pytest.raises(UserError, match=f"has {said} and an evaluation takes 6 or more"):
        context.split("test")
