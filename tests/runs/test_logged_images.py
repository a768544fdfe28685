"""Pictures out of TensorBoard's logs."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.errors import UserError
from hali_tf.runs import logged_images


def test_pictures_come_in_the_order_of_their_steps_and_the_later_one_counts(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 1, 5, 6, 3), dtype=np.uint8)
    # The second start of a run repeats what a kill undid.
    for start, steps in ((0, (2, 4)), (1, (4,))):
        writer = tf.summary.create_file_writer(str(tmp_path / "logs"), filename_suffix=f".{start}")
        for step in steps:
            with writer.as_default(step):
                tf.summary.image("samples", images[step // 2 - 1 + start])
        writer.close()
    found = logged_images.read(tmp_path, "samples")
    assert [*found] == [2, 4]
    for step, expected in ((2, images[0]), (4, images[2])):
        np.testing.assert_array_equal(found[step], expected[0])


def test_no_pictures_is_an_error_of_one_line(tmp_path):
    with pytest.raises(UserError, match="logs: has no images samples; expected"):
        logged_images.read(tmp_path, "samples")
