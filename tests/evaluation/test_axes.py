"""Changes of z_L along axes, by hand."""

import numpy as np
import pytest

from hali_tf.evaluation import axes
from hali_tf.measures.latents import scale
from hali_tf.models.coder import Coder
from tests.evaluation.linear import Linear
from tests.evaluation.test_innovation import bright_and_chequered


def test_innovation_keeps_what_the_top_does_not_know():
    # Around 100: uniform 10, chessboard 20, and 1 that neither holds. In z: 1, 2 and 0.1.
    images = np.array([[131, 89], [91, 129]], np.uint8)[np.newaxis, ..., np.newaxis]
    coder = Coder(Linear())
    z_1, z_2 = coder.encode(images)
    np.testing.assert_allclose(z_2, [[1.0, 2.0]])
    changed = axes.innovate(coder, [z_1, z_2], scale(z_2, 1, -3.0))
    # The chessboard's 20 become -60, all else stays.
    np.testing.assert_array_equal(changed[0, ..., 0], [[51, 169], [171, 49]])
    np.testing.assert_array_equal(axes.innovate(coder, [z_1, z_2], z_2), images)
    np.testing.assert_array_equal(
        axes.innovate(coder, [z_1, z_2], scale(z_2, 0, 0.0))[0, ..., 0], [[121, 79], [81, 119]]
    )


def test_decisions_before_and_after_each_entry():
    # Uniform and chessboard parts: (10, 20), (10, 0).
    images = np.array([[[130, 90], [90, 130]], [[110, 110], [110, 110]]], np.uint8)[..., np.newaxis]
    coder = Coder(Linear())
    before, after = axes.changes(
        coder, coder.encode(images), np.eye(2, dtype=np.float32), bright_and_chequered
    )
    np.testing.assert_array_equal(before, [[1, 1], [1, 0]])
    np.testing.assert_array_equal(after[:, 0], [[0, 1], [0, 0]])
    np.testing.assert_array_equal(after[:, 1], [[1, 0], [1, 0]])


def test_only_changes_in_the_direction_of_an_entry_count():
    # Times -3 an entry of 1 falls and one of -1 rises; with a correlation below 0 the reverse.
    z = np.array([[1], [1], [-1], [-1]], np.float32)
    before = np.array([[1, 1], [0, 0], [1, 1], [0, 0]], np.uint8)
    after = np.array([[[0, 0]], [[1, 1]], [[0, 0]], [[1, 1]]], np.uint8)  # all change
    could, did = np.moveaxis(axes.in_direction(before, after, z, np.array([[1, -1]])), 1, 0)
    expected = [[True, False], [False, True], [False, True], [True, False]]
    np.testing.assert_array_equal(could[:, 0], expected)
    np.testing.assert_array_equal(did, could)
    unchanged = axes.in_direction(before, before[:, np.newaxis], z, np.array([[1, -1]]))
    np.testing.assert_array_equal(unchanged[:, 0, 0], expected)
    assert not unchanged[:, 1].any()


def test_axes_of_entries_and_between_them():
    """Four images with the components (1, 2), (-1, 2), (2, -1) and (-2, -1), in tens."""
    uniform, chessboard = np.array([10, -10, 20, -20]), np.array([20, 20, -10, -10])
    signs = 1 - 2 * (np.indices((2, 2)).sum(axis=0) % 2)
    images = 100 + uniform[:, None, None] + chessboard[:, None, None] * signs
    coder = Coder(Linear())
    zs = coder.encode(images.astype(np.uint8)[..., np.newaxis])
    np.testing.assert_allclose(zs[1], np.stack([uniform, chessboard], axis=1) / 10)
    towards = np.array([[5.0, 0.0], [3.0, 4.0]])  # the second is between the entries
    *rows, mean = axes.measure(coder, zs, towards, [0, 1], bright_and_chequered, seed=0)
    # Both entries and the first axis decide on their own attribute alone.
    for row in rows:
        assert (row["changed"], row["changed_by_other_entries"], row["others_changed"]) == (1, 0, 0)
    assert rows[0]["changed_along_axis"] == 1 and rows[0]["others_changed_along_axis"] == 0
    # Along (0.6, 0.8) the components are 2.2, 1, 0.4 and -2. Less four times that, the uniform
    # parts are 1 - 5.28, -1 - 2.4, 2 - 0.96 and -2 + 4.8, and those of the chessboard 2 - 7.04,
    # 2 - 3.2, -1 - 1.28 and -1 + 6.4: it changes as it should in all that are not there yet (the
    # third is: it falls), and the uniform part follows for the first and the last.
    assert rows[1]["changed_along_axis"] == 1
    assert rows[1]["others_changed_along_axis"] == pytest.approx(2 / 4)
    # Of the uniform parts the second already is where this axis moves it.
    assert rows[0]["changed_along_other_axes"] == pytest.approx(2 / 3)
    assert mean["changed_along_axis"] == 1
    assert mean["difference"] == 1
    assert 0 < mean["changed_along_random_axes"] < 1
    assert mean["intervals"]["changed_along_axis"] == [1, 1]


def test_an_attribute_alone_has_no_others():
    coder = Coder(Linear())
    zs = coder.encode(np.array([[[130, 110], [110, 130]]] * 2, np.uint8)[..., np.newaxis])
    row, _ = axes.measure(
        coder, zs, np.array([[1.0, 0.0]]), [0], lambda x: bright_and_chequered(x)[:, :1], seed=0
    )
    assert row["changed_by_other_entries"] is None and row["changed_along_other_axes"] is None


def test_axes_have_the_length_1_or_0():
    np.testing.assert_allclose(axes.unit(np.array([[3.0, 4], [0, 0]])), [[0.6, 0.8], [0, 0]])
