"""Labels that spread over nearest neighbours."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from hali_tf.data.spreading import spread_labels


def rings():
    """Images of 1x2 pixels on two rings around one centre, 200 each; and their classes."""
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = 128 + np.concatenate([60 * circle, 120 * circle])
    return np.rint(points).astype(np.uint8)[:, None, :, None], np.repeat([0, 1], 200)


def test_labels_spread_along_the_data_and_not_across():
    """With one label on each ring, half of the outer ring is nearer to the inner label."""
    images, classes = rings()
    labelled = np.array([0, 200])
    np.testing.assert_array_equal(spread_labels(images, labelled, classes[labelled], 2), classes)


def test_no_label_comes_to_images_that_none_is_joined_with():
    """Twenty copies of an image, and one whose neighbours they are, from afar."""
    images, classes = rings()
    images = np.concatenate([(images // 8 + 100), np.full([20, 1, 2, 1], 90, np.uint8)])
    images = np.concatenate([images, np.zeros([1, 1, 2, 1], np.uint8)])
    with np.errstate(invalid="raise", divide="raise"):
        spread = spread_labels(images, np.array([0, 200]), np.array([0, 1]), 2)
    assert set(spread[:400]) == {0, 1}
    np.testing.assert_array_equal(spread[400:], np.full(21, -1))


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_digits_spread_better_than_to_the_nearest_label(order):
    digits = load_digits()
    images = (digits.images[order] * 15).astype(np.uint8)[..., None]
    classes = digits.target[order]
    labelled = np.concatenate([np.flatnonzero(classes == k)[:5] for k in range(10)])
    spread = spread_labels(images, labelled, classes[labelled], 10)
    pixels = images.reshape(len(images), -1)
    nearest = KNeighborsClassifier(1).fit(pixels[labelled], classes[labelled]).predict(pixels)
    assert (spread != classes).sum() < (nearest != classes).sum() / 2
