"""How pictures of a user are read."""

import numpy as np
import pytest
from PIL import Image

from hali_tf.data import images as reading
from hali_tf.data import pictures
from hali_tf.errors import UserError


def test_pictures_are_read_as_in_training(tmp_path):
    rng = np.random.default_rng(0)
    wide = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    wide.save(tmp_path / "turned.jpg", exif=exif)
    wide.convert("L").save(tmp_path / "grey.png")
    wide.convert("RGBA").save(tmp_path / "alpha.png")
    paths = [str(tmp_path / name) for name in ("turned.jpg", "grey.png", "alpha.png")]
    for channels in (1, 3):
        images = pictures.read(paths, (16, 16, channels), "folder")
        assert images.shape == (3, 16, 16, channels) and images.dtype == np.uint8
        for path, image in zip(paths, images):
            with open(path, "rb") as f:
                np.testing.assert_array_equal(image, reading.decode(f.read(), 16, channels))


@pytest.mark.parametrize("data", ["celeba", "tfds:celeb_a"])
def test_aligned_faces_are_cut_as_in_celeba(tmp_path, data):
    pixels = np.zeros([218, 178, 3], np.uint8)
    pixels[35:183, 15:163] = 200
    Image.fromarray(pixels).save(tmp_path / "face.png")
    path = [str(tmp_path / "face.png")]
    assert (pictures.read(path, (64, 64, 3), data) == 200).all()
    assert (pictures.read(path, (64, 64, 3), "folder") == 0).any()
    Image.fromarray(pixels[35:183, 15:]).save(tmp_path / "face.png")
    assert pictures.read(path, (64, 64, 3), data).shape == (1, 64, 64, 3)


def test_no_pictures_are_an_empty_array():
    assert pictures.read((), (16, 16, 1), "digits").shape == (0, 16, 16, 1)


@pytest.mark.parametrize(
    "write, words",
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("hello"), "not an image in a known format"),
    ],
)
def test_what_is_no_picture(tmp_path, write, words):
    path = tmp_path / "picture.jpg"
    write(path)
    with pytest.raises(UserError) as error:
        pictures.read([str(path)], (16, 16, 1), "digits")
    assert str(error.value).startswith(f"{path}: ") and words in str(error.value)
