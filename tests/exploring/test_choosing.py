"""Pictures of users: their size, what is no picture; and masks."""

import numpy as np
import pytest
from PIL import Image

from hali_tf.errors import UserError
from hali_tf.exploring import choosing
from hali_tf.exploring.subject import Subject
from hali_tf.models.coder import Coder
from tests.evaluation.linear import Linear


@pytest.fixture(scope="module")
def subject():
    return Subject("linear", Coder(Linear(side=4)), "", np.zeros((1, 4, 4, 1), np.uint8))


def test_another_size_is_resized_and_said(subject, tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (40, 30), (0, 200, 0)).save(path)
    image, words = choosing.read(subject, str(path))
    assert image.shape == (4, 4, 1) and (image == image[0, 0]).all()
    assert words == ("photo.png: 40x30 pixels, cropped to a square and resized to 4x4, in grey.")
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(path)
    image, words = choosing.read(subject, str(path))
    np.testing.assert_array_equal(image.ravel(), np.arange(16))
    assert words == "photo.png: 4x4 pixels, used as it is."


def test_what_is_done_to_a_picture_is_said(subject, tmp_path):
    def words(picture, of=subject, **options):
        picture.save(tmp_path / "a.png", **options)
        return choosing.read(of, str(tmp_path / "a.png"))[1].partition(": ")[2]

    assert words(Image.new("LA", (4, 4))) == "4x4 pixels, used as it is."
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = words(Image.new("L", (40, 30)), exif=exif)
    assert turned == "30x40 pixels, cropped to a square and resized to 4x4."
    broken = b"Exif\0\0garbagegarbage"
    assert words(Image.new("L", (4, 4)), exif=broken) == "4x4 pixels, used as it is."
    large = Subject("linear", Coder(Linear(side=32)), "", np.zeros((1, 32, 32, 1), np.uint8))
    assert words(Image.new("L", (28, 28)), large) == "28x28 pixels, padded to 32x32."


def test_what_is_no_picture_is_said_without_its_folder(subject, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UserError, match=r"^notes.png: not an image .*; expected a picture"):
        choosing.read(subject, str(tmp_path / "notes.png"))


def test_a_picture_that_would_fill_the_memory_is_refused(subject, tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (15_000, 15_000)).save(path)
    with pytest.raises(UserError, match=r"bomb.png: more than .* pixels"):
        choosing.read(subject, str(path))


def test_a_pixel_is_missing_where_half_of_it_is_painted(subject):
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[:2, :2] = layer[4, 4:6] = layer[7, 7] = 255  # all, half and a quarter of a pixel
    mask = choosing.painted([layer], (4, 4))
    assert sorted(zip(*np.nonzero(mask))) == [(0, 0), (2, 2)]
    np.testing.assert_array_equal(choosing.mask_of("painted", [layer], (4, 4)), mask)


@pytest.mark.parametrize("alpha, words", [(0, "nothing"), (255, "all")])
def test_masks_of_nothing_and_of_all_are_refused(subject, alpha, words):
    with pytest.raises(UserError, match=f"covers {words}; paint"):
        choosing.mask_of("painted", [np.full((8, 8, 4), alpha, np.uint8)], (4, 4))
    assert choosing.mask_of("right half", [], (4, 4)).sum() == 8
