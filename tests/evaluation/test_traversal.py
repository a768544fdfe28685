"""Spectra, shares and strips of images whose content is known."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from hali_tf.config import Config
from hali_tf.evaluation import traversal
from hali_tf.evaluation.traversal import Traversal
from hali_tf.measures.spectra import beyond_colours, by_strength, spectrum
from hali_tf.models.coder import Coder
from tests.evaluation.linear import Linear
from tests.evaluation.test_inpainting import linear_context


def wave(u, v, side=16):
    """A cosine of u cycles down and v across, [1, side, side, 1]."""
    y, x = np.mgrid[:side, :side]
    return np.cos(2 * np.pi * (u * y + v * x) / side)[np.newaxis, ..., np.newaxis]


@pytest.mark.parametrize(
    "u, v, place", [(0, 0, 0), (1, 0, 1), (0, 2, 2), (1, 1, 2), (3, 4, 5), (8, 8, 12)]
)
def test_energy_lies_at_its_frequency(u, v, place):
    (energy,) = spectrum(wave(u, v))
    assert energy.shape == (13,)  # the longest: 8 and 8 cycles, 11.3
    np.testing.assert_allclose(energy[place], np.sum(wave(u, v) ** 2))
    np.testing.assert_allclose(np.delete(energy, place), 0, atol=1e-9)


def test_energies_sum_to_the_squares():
    differences = np.random.default_rng(0).standard_normal((5, 8, 8, 3))
    expected = np.sum(differences**2, axis=(1, 2, 3))
    np.testing.assert_allclose(spectrum(differences).sum(axis=1), expected)


def test_shares_are_pooled_over_components():
    # A wave has half the energy of the constant: low 1 of 1.5, and 0.5 of 0.5 + 0.5.
    one = spectrum(wave(0, 0) + wave(3, 0))
    two = spectrum(wave(2, 0) + wave(0, 3))
    whole = one.sum() + two.sum()
    energies = traversal._pooled(np.stack([one, two]), np.array([[0.0], [whole / 4]]))
    shares = traversal._shares(np.concatenate([energies, 0 * energies], axis=1))
    np.testing.assert_allclose(shares, [[1.5 / 2.5, 3 / 4, np.nan, np.nan]])


def test_range_of_the_top_and_below():
    assert traversal.scalars(2, 2).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert traversal.scalars(1, 2).tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4]
    assert len(traversal.scalars(1, 1)) == 7


def test_effects_by_hand():
    # At -3 and 3 an entry moves by -4 and 2 times itself, a pixel by ten times that.
    z_2 = np.array([[0.5, 1.0]], np.float32)
    spectra = traversal.effects(Coder(Linear()), z_2, 2, range(2))
    pairs = traversal.varied(Coder(Linear()), z_2, 2, range(2))
    beyond = [beyond_colours(*pair).sum() for pair in pairs]
    squares = 4 * (40**2 + 20**2) / 255**2
    # A constant is added; the chessboard is there already, and is scaled. Both are maps of colours.
    np.testing.assert_allclose(beyond, 0, atol=1e-9)
    # Frequencies of 2x2 pixels: 0, 1, and 1.4 for the chessboard.
    expected = [[squares / 4, 0, 0], [0, 0, squares]]
    np.testing.assert_allclose(spectra, expected, rtol=1e-5, atol=1e-9)
    assert by_strength(spectra).tolist() == [1, 0]


def test_what_is_beyond_colours():
    rng = np.random.default_rng(0)
    image = rng.random((1, 8, 8, 3))
    saturated = image @ np.array([[2.0, -0.5, 0.1], [0, 1, 0], [0.3, 0, 1]]) - 0.2
    assert beyond_colours(image, saturated) == pytest.approx([0], abs=1e-9)
    # A pattern that is orthogonal to the image's colours is beyond them, whole.
    colours = np.concatenate([image.reshape(-1, 3), np.ones((64, 1))], axis=1)
    pattern = rng.standard_normal((64, 3))
    pattern -= colours @ np.linalg.pinv(colours) @ pattern
    changed = saturated + pattern.reshape(1, 8, 8, 3)
    assert beyond_colours(image, changed) == pytest.approx([np.sum(pattern**2)])
    both = np.concatenate([image, image]), np.concatenate([changed, saturated])
    assert beyond_colours(*both) == pytest.approx([np.sum(pattern**2), 0], abs=1e-9)


def test_weakened_components_have_the_strength_that_is_asked_for():
    z_2 = np.array([[0.5, 1.0], [-0.5, 2.0]], np.float32)
    pairs = list(traversal.varied(Coder(Linear(8)), z_2, 2, range(2), 0.02))
    for before, after in pairs:
        assert np.sqrt(np.mean((after - before) ** 2)) == pytest.approx(0.02, rel=0.1)
    first, *_ = traversal.varied(Coder(Linear(8)), z_2, 2, [0])
    weak, *_ = traversal.varied(Coder(Linear(8)), z_2, 2, [0], 0.9)  # that it does not reach
    np.testing.assert_array_equal(first[1], weak[1])


def test_strips_end_unchanged():
    z_2 = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    rows, columns, labels = traversal.strips(Coder(Linear()), z_2, 2, [1, 0])
    assert rows.shape == (4, 8, 2, 2, 1) and columns[-1] == "unchanged" and columns[4] == "× 1"
    assert labels == ["z_2[1]", "z_2[1]", "z_2[0]", "z_2[0]"]
    np.testing.assert_array_equal(rows[:, 4], rows[:, -1])
    assert rows[0, :, 0, 0, 0].tolist() == [110] * 8  # the second entry of the first image is 0
    assert rows[2, :, 0, 0, 0].tolist() == [70, 80, 90, 100, 110, 120, 130, 110]


def test_answer_says_whether_the_claims_hold(tmp_path):
    context, _ = linear_context(tmp_path)
    answer = json.loads(json.dumps(Traversal().answer(context)))
    levels, rows = answer["levels"], answer["rows"]
    assert (levels["z_1"]["components"], levels["z_2"]["components"]) == (1, 2)
    # The first entry of z_2 makes a constant, the second a chessboard of 2.8 cycles; the one map of
    # z_1 is their sum. So both levels have the same share, but for what is cut off at 0 and 255.
    squares = (np.random.default_rng(0).standard_normal((16, 2), np.float32) ** 2).sum(axis=0)
    expected = squares[0] / squares.sum()
    assert rows["z_1"]["low"] == pytest.approx(expected, abs=0.05)
    assert rows["z_2"]["low"] == pytest.approx(expected, abs=0.01)
    # At equal strength, of z_2's two components one is low and the other is not.
    low, high = rows["z_2"]["intervals"]["low_at_equal_strength"]
    assert low < rows["z_2"]["low_at_equal_strength"] < high
    reach = levels["z_2"]["equal_components"]
    assert rows["z_2"]["low_at_equal_strength"] == pytest.approx(
        1 / 2 if reach == 2 else int(squares.argmax() == 0), abs=0.05
    )
    strongest = levels["z_2"]["strongest"][0]
    assert strongest["component"] == squares.argmax()
    rms = np.sqrt(squares.max() * (40**2 + 20**2) / 2 / 16) / 255
    assert strongest["rms_change"] == pytest.approx(rms, rel=0.02)
    # All of what z_1 changes is a map of colours, but for what is cut off; so is what z_2 does.
    assert rows["z_1"]["pixelwise"] > 0.9 and rows["z_2"]["pixelwise"] > 0.9
    assert levels["z_1"]["share_up_to"][-1] == pytest.approx(1)
    found = Traversal().findings(answer)
    assert found.keys() == Traversal().claims.keys()
    assert found["low"].figure == f"{rows['z_2']['low']:.1%} and {rows['z_1']['low']:.1%}"
    assert found["low"].verdict == "undecided"
    text = Traversal().report(answer)
    assert f"z_2 {rows['z_2']['low']:.1%} [" in text.partition("\n\n")[0]
    for name in ("traversal_z_1.png", "traversal_z_2.png", "traversal_spectrum.png"):
        assert f"({name})" in text
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 100


@pytest.mark.parametrize("dead", [1, 2])
def test_components_that_change_nothing_do_not_set_the_strength(tmp_path, dead):
    context, _ = linear_context(tmp_path)
    context.subject.model._basis[-dead:] = 0
    answer = json.loads(json.dumps(Traversal().answer(context)))
    rows = answer["rows"]
    if dead == 2:  # nothing is left that could be compared
        assert answer["strength"] == 0
        assert rows["z_2"]["low"] is None and rows["z_2"]["low_at_equal_strength"] is None
        assert answer["levels"]["z_1"]["equal_components"] == 0
        findings = Traversal().findings(answer).values()
        assert [found.verdict for found in findings] == ["undecided"] * 4
    else:
        assert answer["strength"] > 0 and answer["levels"]["z_2"]["equal_components"] == 1
        assert rows["z_2"]["low_at_equal_strength"] == pytest.approx(1, abs=0.05)
    assert "nan" not in Traversal().report(answer)


def test_y_is_not_a_component(tmp_path):
    context, _ = linear_context(tmp_path)
    config = Config.of(labels_per_class=2, classes=1)
    context = dataclasses.replace(
        context, subjects=(dataclasses.replace(context.subject, config=config),)
    )
    answer = json.loads(json.dumps(Traversal().answer(context)))
    levels = answer["levels"]
    assert (levels["z_1"]["components"], levels["z_2"]["components"]) == (1, 1)
    assert [row["component"] for row in levels["z_2"]["strongest"]] == [0]  # the chessboard is y
    assert answer["rows"]["z_2"]["low"] == pytest.approx(1, abs=1e-3)
    assert "label y at the end of z_2" in Traversal().report(answer).replace("\n", " ")


def test_one_level_has_nothing_to_compare():
    assert Traversal().findings({"levels": {"z_1": {}}}) == {}
