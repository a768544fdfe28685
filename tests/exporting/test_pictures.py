"""Pictures in the exported graph equal those of training."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.data import crops
from hali_tf.data import images as image_files
from hali_tf.exporting import pictures
from tests.pictures import AWKWARD, HOSTILE, encoded, many_scans, noise, png


@pytest.fixture(scope="module")
def prepare():
    """`pictures.prepare` as a graph, as an export has it."""
    graphs = {}

    def run(data, size, channels, boxes=None):
        key = (size, channels, bool(boxes))
        if key not in graphs:
            shape = (size, size, channels)
            graphs[key] = tf.function(
                lambda x: pictures.prepare(x, shape, boxes or {}),
                input_signature=[tf.TensorSpec([], tf.string)],
            )
        return graphs[key](data).numpy()

    return run


def assert_equal(served, ours, at_most=1):
    assert served.shape == ours.shape and served.dtype == ours.dtype == np.uint8
    difference = np.abs(served.astype(int) - ours)
    assert difference.max() <= at_most and (difference > 0).mean() < 0.25 * at_most


@pytest.mark.parametrize("size, channels", [(16, 3), (32, 1), (64, 3)])
def test_awkward_pictures_are_those_of_training(prepare, size, channels):
    for name, data in AWKWARD.items():
        if name.startswith(("png", "jpeg")):
            ours = image_files.decode(data, size, channels)
            # CMYK is converted to colour by each library in its own way.
            at_most = 3 if "CMYK" in name else 1
            try:
                assert_equal(prepare(data, size, channels), ours, at_most)
            except AssertionError as error:
                raise AssertionError(name) from error


@pytest.mark.parametrize("data", ["celeba", "tfds:celeb_a"])
def test_faces_are_cut_as_in_training(prepare, data):
    boxes = crops.own_boxes(data)
    aligned, other = encoded(noise(218, 178, 3)), encoded(noise(300, 200, 3), "JPEG")
    ours = image_files.decode(aligned, 64, 3, crops.crop_of(data))
    assert_equal(prepare(aligned, 64, 3, boxes), ours)
    assert_equal(prepare(other, 64, 3, boxes), image_files.decode(other, 64, 3, _centre))


def _centre(width, height):
    """The central square, for which `decode` does not shrink a JPEG: it is another function."""
    return crops.central_square(width, height)


def test_a_picture_of_its_size_keeps_its_pixels(prepare):
    picture = noise(16, 16, 3)
    np.testing.assert_array_equal(prepare(encoded(picture), 16, 3), np.asarray(picture))


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "neither a JPEG nor a PNG"),
        (b"\x89PNG\r\n\x1a\n", "received 0x0"),
        (encoded(noise(20, 20, 3), "GIF"), "neither a JPEG nor a PNG"),
        (encoded(noise(20, 20, 3), "BMP"), "neither a JPEG nor a PNG"),
        (encoded(noise(20, 20, 3))[:200], "PNG"),
        (encoded(noise(20, 20, 3), "JPEG")[:300], "JPEG"),
    ],
)
def test_what_is_no_picture_is_refused(prepare, data, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        prepare(data, 16, 3)


@pytest.mark.parametrize("width, height", [(4097, 4096), (2**31 - 1, 2**31 - 1), (2**24 + 1, 1)])
def test_too_many_pixels_are_refused_by_the_header_alone(prepare, width, height):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"received {width}x{height}"):
        prepare(png(width, height), 16, 3)


def test_a_large_jpeg_is_refused_by_its_header_alone(prepare):
    with pytest.raises(tf.errors.InvalidArgumentError, match="received 65500x65500"):
        prepare(HOSTILE["JPEG bomb"], 16, 3)


def test_a_jpeg_of_many_scans_is_refused(prepare):
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 1000 scans"):
        prepare(many_scans(1001), 16, 3)
