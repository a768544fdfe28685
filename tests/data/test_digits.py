"""The embedded default set."""

import numpy as np
import pytest

from hali_tf.data import digits, open_source


@pytest.fixture(scope="module")
def splits():
    source = open_source("digits")
    return {name: source.load(name) for name in ("train", "validation", "test")}


def test_sizes_shapes_and_range(splits):
    assert {name: len(split.images) for name, split in splits.items()} == {
        "train": 1300,
        "validation": 247,
        "test": 250,
    }
    for split in splits.values():
        assert split.images.shape[1:] == (16, 16, 1) and split.images.dtype == np.uint8
        assert split.images.min() == 0 and split.images.max() == 255
        assert split.labels.dtype == np.int64 and set(split.labels) == set(range(10))
        assert split.skipped == 0


def test_the_three_splits_are_the_whole_set(splits):
    from sklearn.datasets import load_digits

    known = load_digits()
    images, labels = digits._read()
    np.testing.assert_array_equal(images, known.images)
    np.testing.assert_array_equal(labels, known.target)
    labels = np.concatenate([split.labels for split in splits.values()])
    assert (np.bincount(labels) == np.bincount(known.target)).all()


def test_the_order_is_always_the_same(splits):
    again = open_source("digits").load("train")
    assert (again.images == splits["train"].images).all()
    # Pinned: figures and numbers of earlier versions stay comparable.
    assert splits["train"].labels[:12].tolist() == [6, 6, 6, 2, 5, 6, 6, 2, 2, 1, 1, 9]


def test_image_size_and_channels():
    source = open_source("digits", image_size=32, channels=3)
    images = source.load("test").images
    assert source.image_shape == images.shape[1:] == (32, 32, 3)
    assert (images[..., 0] == images[..., 2]).all()
