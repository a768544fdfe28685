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


def four_images(times=1):
    """(coder, latents) of images with z_2 = (1, 2), (-1, 2), (2, -1) and (-2, -1), repeated."""
    z_2 = np.array([[1, 2], [-1, 2], [2, -1], [-2, -1]] * times)
    signs = 1 - 2 * (np.indices((2, 2)).sum(axis=0) % 2)
    images = 100 + 10 * (z_2[:, 0, None, None] + z_2[:, 1, None, None] * signs)
    coder = Coder(Linear())
    zs = coder.encode(images.astype(np.uint8)[..., np.newaxis])
    np.testing.assert_allclose(zs[1], z_2)
    return coder, zs


def test_axes_of_entries_and_between_them():
    coder, zs = four_images()
    towards = np.array([[5.0, 0.0], [3.0, 4.0]])  # the second is between the entries
    [[*rows, mean]] = axes.measure(coder, zs, towards, [0, 1], [bright_and_chequered], seed=0)
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
    [[*_, many]] = axes.measure(*four_images(10), towards, [0, 1], [bright_and_chequered], seed=0)
    assert many["intervals"]["changed_along_axis"] == [1, 1]


def test_an_axis_may_lead_away_from_the_side_that_an_entry_grows_to():
    def dark_and_chequered(images):
        return bright_and_chequered(images) ^ np.uint8([1, 0])

    towards = np.array([[-5.0, 0.0], [0.0, 4.0]])
    [[*rows, _]] = axes.measure(*four_images(), towards, [0, 1], [dark_and_chequered], seed=0)
    for row in rows:
        assert row["changed"] == row["changed_along_axis"] == 1


def test_random_axes_are_drawn_by_the_seed_and_lean_as_z_does():
    coder, zs = four_images()
    wide = [zs[0], zs[1] * np.float32([1, 1e-4])]  # the chessboard hardly varies in z_2

    def along_random(zs, seed):
        [[*rows, _]] = axes.measure(coder, zs, np.eye(2), [0, 1], [bright_and_chequered], seed)
        return [row["changed_along_random_axes"] for row in rows]

    assert along_random(zs, 0) == along_random(zs, 0) != along_random(zs, 1)
    # All random axes are then nearly the first entry, which changes its own attribute alone.
    assert along_random(wide, 0) == pytest.approx([1, 0])


def test_shares_by_hand():
    """Two attributes; entries and axes 0 and 1, and two random axes."""
    possible = np.full((6, 2), 0.5)
    found = np.array([[4, 1], [2, 3], [5, 0], [1, 4], [1, 2], [0, 1]]) / 10
    changed = np.array([[6, 2], [3, 5], [7, 1], [2, 6], [0, 0], [0, 0]]) / 10
    # The entry of the first attribute is 1, that of the second 0.
    by_hand = {
        "changed": [0.4, 0.2],
        "changed_by_other_entries": [0.8, 0.6],
        "others_changed": [0.5, 0.6],
        "changed_along_axis": [1, 0.8],
        "changed_along_other_axes": [0.2, 0],
        "others_changed_along_axis": [0.1, 0.2],
        "changed_along_random_axes": [0.1, 0.3],
        "difference": [-0.4, -0.4],
    }
    expected = np.array([[*values, np.mean(values)] for values in by_hand.values()])
    assert tuple(by_hand) == axes.MEASURES
    shares = axes._shares(np.stack([possible, found, changed]), [2, 4], np.array([1, 0]))
    np.testing.assert_allclose(shares, expected, atol=1e-12)


def test_an_attribute_alone_has_no_others():
    coder = Coder(Linear())
    zs = coder.encode(np.array([[[130, 110], [110, 130]]] * 2, np.uint8)[..., np.newaxis])
    [[row, _]] = axes.measure(
        coder, zs, np.array([[1.0, 0.0]]), [0], [lambda x: bright_and_chequered(x)[:, :1]], seed=0
    )
    for name in ("changed_by_other_entries", "changed_along_other_axes", "difference"):
        assert row[name] is None


def test_axes_have_the_length_1_or_0():
    np.testing.assert_allclose(axes.unit(np.array([[3.0, 4], [0, 0]])), [[0.6, 0.8], [0, 0]])
