"""What each verb draws of a user's pictures, with the linear model."""

import numpy as np
import pytest
from PIL import Image

from hali_tf.errors import UsageError, UserError
from hali_tf.evaluation import axes, own_pictures, traversal
from hali_tf.measures.latents import scale
from hali_tf.models.coder import Coder
from tests.evaluation.linear import Linear

IMAGES = np.array([[[131, 89], [91, 129]], [[75, 85], [85, 75]]], np.uint8)[..., np.newaxis]
NAMES = ["a.jpg", "b.png"]


@pytest.fixture(scope="module")
def coder():
    return Coder(Linear())


def assert_strips(strips, shape):
    """All images, headings and labels are there."""
    rows, columns, labels = strips
    assert np.shape(rows) == (*shape, 2, 2, 1) and np.asarray(rows).dtype == np.uint8
    assert (len(labels), len(columns)) == shape


def test_reconstruct(coder):
    rows, columns, labels = own_pictures.reconstruct(coder, IMAGES, NAMES)
    assert_strips((rows, columns, labels), (2, 3))
    assert (columns, labels) == (["original", "level 1", "level 2"], NAMES)
    np.testing.assert_array_equal(rows[:, 0], IMAGES)
    np.testing.assert_array_equal(rows[0, 2, ..., 0], [[130, 90], [90, 130]])


def test_sample_follows_from_the_seed(coder):
    rows, *_ = strips = own_pictures.sample(coder, None, (), 0)
    assert_strips(strips, (8, 8))
    np.testing.assert_array_equal(own_pictures.sample(coder, None, (), 0)[0], rows)
    assert (own_pictures.sample(coder, None, (), 1)[0] != rows).any()


def test_interpolation_ends_at_the_reconstructions(coder):
    three, names = np.concatenate([IMAGES, IMAGES[:1]]), [*NAMES, "c"]
    rows, columns, labels = strips = own_pictures.interpolate(coder, three, names)
    assert_strips(strips, (4, 10))
    assert labels[1] == "a.jpg\nto b.png\nlevel 2" and labels[2] == "b.png\nto c\nlevel 1"
    assert (columns[1], columns[-2]) == ("0 %", "100 %")
    for level in (1, 2):
        rebuilt = coder.reconstruct(three, level)
        for pair in (0, 1):
            row = rows[2 * pair + level - 1]
            np.testing.assert_array_equal(row[[0, -1]], three[[pair, pair + 1]])
            np.testing.assert_array_equal(row[[1, -2]], rebuilt[[pair, pair + 1]])


def test_inpaint_with_a_mask_of_the_user(coder, tmp_path):
    Image.fromarray(np.uint8([[255, 0], [0, 0]])).save(tmp_path / "mask.png")
    rows, columns, labels = strips = own_pictures.inpaint(
        coder, IMAGES, NAMES, str(tmp_path / "mask.png")
    )
    assert_strips(strips, (2, 6))
    assert columns == [
        "original",
        "masked",
        "level 2\nround 1",
        "level 2\nround 2",
        "level 1\nround 3",
        "level 1\nround 4",
    ]
    assert rows[0, 1, 0, 0, 0] == 128  # grey where it is missing
    np.testing.assert_array_equal(rows[:, :, 1, 1, 0], IMAGES[:, [1] * 6, [1] * 6, 0])
    assert labels == NAMES


def test_inpaint_without_a_mask_takes_the_centre():
    images = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1), dtype=np.uint8)
    rows, *_ = own_pictures.inpaint(Coder(Linear(8)), images, ["a"], "")
    assert (rows[0, 1, 2:6, 2:6] == 128).all()
    np.testing.assert_array_equal(rows[0, -1, :2], images[0, :2])


def test_traverse_one_component_or_the_strongest(coder):
    rows, _, labels = strips = own_pictures.traverse(coder, IMAGES, NAMES, 0, 1)
    assert_strips(strips, (2, 8))
    assert labels == ["a.jpg\nz_2[1]", "b.png\nz_2[1]"]
    z_2 = coder.encode(IMAGES)[1]
    np.testing.assert_array_equal(rows, traversal.strips(coder, z_2, 2, [1])[0])
    strongest = own_pictures.traverse(coder, IMAGES, NAMES, 2, -1)
    assert_strips(strongest, (4, 8))
    # Uniform parts of 10 and -20 weigh more than chessboards of 20 and -5.
    assert strongest[2] == ["a.jpg\nz_2[0]", "b.png\nz_2[0]", "a.jpg\nz_2[1]", "b.png\nz_2[1]"]
    assert_strips(own_pictures.traverse(coder, IMAGES, NAMES, 1, 0), (2, 10))


def test_innovate_rows_are_of_an_image_each(coder):
    rows, columns, labels = strips = own_pictures.innovate(coder, IMAGES, NAMES, -1)
    assert_strips(strips, (4, 8))
    assert sorted(labels[:2]) == ["a.jpg\nz_2[0]", "a.jpg\nz_2[1]"] and labels[2][:5] == "b.png"
    zs = coder.encode(IMAGES)
    row = labels.index("b.png\nz_2[1]")
    expected = axes.innovate(coder, zs, scale(zs[-1], 1, -3.0))[1]
    np.testing.assert_array_equal(rows[row, 0], expected)
    np.testing.assert_array_equal(rows[row, -1], IMAGES[1])
    assert_strips(own_pictures.innovate(coder, IMAGES, NAMES, 0), (2, 8))


@pytest.mark.parametrize("component", [-2, 2, 99])
def test_component_out_of_range(coder, component):
    for draw in (
        lambda: own_pictures.innovate(coder, IMAGES, NAMES, component),
        lambda: own_pictures.traverse(coder, IMAGES, NAMES, 2, component),
    ):
        with pytest.raises(
            UsageError, match=rf"--component={component}: z_2 has components 0 to 1"
        ):
            draw()


@pytest.mark.parametrize("level", [-1, 3])
def test_level_out_of_range(coder, level):
    with pytest.raises(UsageError, match=rf"--level={level}: expected 1 to 2"):
        own_pictures.traverse(coder, IMAGES, NAMES, level, 0)


def test_innovation_needs_two_levels():
    model = Linear()
    model.num_levels = 1
    with pytest.raises(UserError, match="one level"):
        own_pictures.innovate(Coder(model), IMAGES, NAMES, 0)
