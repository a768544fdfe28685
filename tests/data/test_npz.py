"""Arrays from .npz files, by all their names and with all their mistakes."""

import contextlib

import numpy as np
import pytest

from hali_tf.data import open_source
from hali_tf.errors import UsageError, UserError


def _images(count, side=8, channels=3):
    """Images each filled with its own number."""
    shape = (count, side, side) + ((channels,) if channels else ())
    return np.ones(shape, dtype=np.uint8) * np.arange(count, dtype=np.uint8).reshape(
        (-1,) + (1,) * (len(shape) - 1)
    )


@pytest.fixture
def opened(tmp_path):
    """Saves arrays as one file and opens it."""

    def save_and_open(arrays, **arguments):
        np.savez_compressed(tmp_path / "set.npz", **arrays)
        return open_source("npz", str(tmp_path / "set.npz"), **arguments)

    return save_and_open


def test_splits_of_the_file_are_kept(opened):
    source = opened(
        {
            "x_train": _images(6),
            "y_train": np.arange(6, dtype=np.uint8),
            "x_val": _images(3),
            "y_val": np.zeros((3, 1), dtype=np.int32),
            "x_test": _images(2),
            "y_test": np.array([4, 5]),
        }
    )
    assert source.image_shape == (8, 8, 3) and not source.multi_label
    train, validation, test = (source.load(name) for name in ("train", "validation", "test"))
    assert (train.images == _images(6)).all() and len(test.images) == 2
    assert train.labels.dtype == np.int64 and train.labels.tolist() == list(range(6))
    assert validation.labels.tolist() == [0, 0, 0] and test.labels.tolist() == [4, 5]


def test_a_missing_validation_split_is_cut_from_training(opened):
    source = opened({"x_train": _images(100), "y_train": np.arange(100), "x_test": _images(7)})
    train, validation, test = (source.load(name) for name in ("train", "validation", "test"))
    assert [len(split.images) for split in (train, validation, test)] == [95, 5, 7]
    both = np.concatenate([train.labels, validation.labels])
    assert sorted(both) == list(range(100)) and test.labels is None
    for split in (train, validation):
        assert (split.images[:, 0, 0, 0] == split.labels).all()
        assert (np.diff(split.labels) > 0).all()


def test_images_and_labels_alone_are_cut_into_three(opened):
    source = opened({"images": _images(100), "labels": np.arange(100)})
    parts = [source.load(name).labels for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [90, 5, 5]
    assert sorted(np.concatenate(parts)) == list(range(100))


def test_grey_without_a_channel_axis(opened):
    source = opened({"images": _images(20, channels=0)})
    assert source.image_shape == (8, 8, 1) and source.load("train").images.shape == (18, 8, 8, 1)
    assert source.load("train").labels is None


def test_size_and_channels_are_converted(opened):
    source = opened({"images": _images(20, side=28, channels=1)}, image_size=32, channels=3)
    images = source.load("train").images
    assert source.image_shape == images.shape[1:] == (32, 32, 3)
    assert (images[:, 0] == 0).all() and (images[..., 0] == images[..., 2]).all()
    source = opened({"images": _images(20)}, image_size=16, channels=1)
    assert source.load("test").images.shape == (1, 16, 16, 1)


def test_attributes_and_their_names(opened):
    attributes = np.random.default_rng(0).integers(0, 2, (20, 3))
    source = opened(
        {"images": _images(20), "labels": attributes, "class_names": np.array([b"a", b"b", b"c"])}
    )
    assert source.multi_label and source.label_names == ("a", "b", "c")
    labels = source.load("train").labels
    assert labels.dtype == np.uint8 and labels.shape == (18, 3)
    unnamed = opened({"images": _images(20), "labels": attributes})
    assert unnamed.multi_label
    assert unnamed.label_names == ("attribute 0", "attribute 1", "attribute 2")


def test_a_folder_with_one_file(tmp_path):
    np.savez(tmp_path / "a.npz", images=_images(20))
    assert open_source("npz", str(tmp_path)).image_shape == (8, 8, 3)
    np.savez(tmp_path / "b.npz", images=_images(20))
    with pytest.raises(UserError, match="expected one .npz file in it; received 2"):
        open_source("npz", str(tmp_path))


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"pictures": _images(5)}, "expected an array x_train or images; received pictures"),
        ({}, "received none"),
        (
            {"images": _images(5).astype(np.float32)},
            "images: expected dtype uint8.*received float32",
        ),
        ({"images": _images(5)[:, :, :6]}, r"images: expected square .*\[5, 8, 6, 3\]"),
        ({"images": _images(5, channels=4)}, r"received shape \[5, 8, 8, 4\]"),
        ({"images": _images(5)[0, 0]}, r"received shape \[8, 3\]"),
        ({"images": np.moveaxis(_images(5), 3, 1)}, r"received shape \[5, 3, 8, 8\]"),
        ({"images": _images(0)}, "images: is empty"),
        ({"images": _images(2)}, "at least 3 images.*received 2"),
        (
            {"images": _images(5), "labels": np.arange(4)},
            "labels: .*each of the 5 images; received 4",
        ),
        ({"images": _images(5), "labels": np.arange(5) / 2}, "labels: expected integers.*float64"),
        ({"images": _images(5), "labels": np.array(list("abcde"))}, "labels: expected integers"),
        ({"images": np.array([None, {}], dtype=object)}, "images: expected dtype uint8.*object"),
        ({"images": _images(5), "labels": np.zeros([5, 0], int)}, "labels: expected integers"),
        (
            {
                "images": _images(5),
                "labels": np.eye(5, dtype=int),
                "class_names": np.array([b"\xe9"] * 5),
            },
            "class_names: expected UTF-8",
        ),
        (
            {"x_train": _images(5), "x_test": _images(5, side=9)},
            r"x_test: expected images \[8, 8, 3\]",
        ),
        (
            {
                "x_train": _images(5),
                "y_train": np.arange(5),
                "x_test": _images(5),
                "y_test": np.eye(5, dtype=int),
            },
            "y_test: expected labels of the shape of y_train",
        ),
        (
            {"images": _images(5), "labels": np.eye(5, dtype=int), "class_names": np.array(["a"])},
            "class_names: expected 5",
        ),
    ],
)
def test_wrong_arrays_are_named_at_the_door(opened, arrays, message):
    with pytest.raises(UserError, match=message) as caught:
        opened(arrays)
    assert "set.npz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"y_train": np.arange(9) - 1}, "y_train: expected class numbers from 0 to 8.*-1 to 7"),
        ({"y_train": np.arange(9) * 10**8}, "y_train: .*0 to 800000000"),
        ({"y_train": np.full(9, 2**64 - 1, np.uint64)}, "y_train: .*18446744073709551615"),
        (
            {"y_train": np.zeros(9, int), "y_test": np.arange(5)},
            "y_test: .*from 0 to 0, by the classes of y_train.*0 to 4",
        ),
        (
            {"y_train": np.arange(9) % 3, "class_names": np.array(["a", "b"])},
            "y_train: .*from 0 to 1, by class_names",
        ),
    ],
)
def test_labels_out_of_range_are_named_at_the_door(opened, arrays, message):
    with pytest.raises(UserError, match=message):
        opened({"x_train": _images(9), "x_test": _images(5), **arrays})


def test_labels_without_those_of_training_are_left_out(opened):
    source = opened({"x_train": _images(9), "x_test": _images(5), "y_test": np.arange(5)})
    assert source.load("test").labels is None


def test_attributes_other_than_0_and_1(opened):
    with pytest.raises(UserError, match="labels: expected 0 and 1.*from 7 to 7"):
        opened({"images": _images(5), "labels": np.full((5, 2), 7)})


@pytest.mark.parametrize(
    "data, message",
    [(b"", "not an .npz file"), (b"text", "not an .npz file"), (None, "no such file or folder")],
)
def test_what_is_no_npz_file(tmp_path, data, message):
    if data is not None:
        (tmp_path / "set.npz").write_bytes(data)
    with pytest.raises(UserError, match=message):
        open_source("npz", str(tmp_path / "set.npz"))


def test_a_truncated_file(tmp_path):
    np.savez(tmp_path / "set.npz", images=_images(50))
    data = (tmp_path / "set.npz").read_bytes()
    (tmp_path / "set.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="set.npz: not an .npz file of arrays, or damaged"):
        open_source("npz", str(tmp_path / "set.npz"))


def test_an_encrypted_file(tmp_path):
    np.savez(tmp_path / "set.npz", images=_images(50))
    data = bytearray((tmp_path / "set.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1  # the flag of both headers that says so
    (tmp_path / "set.npz").write_bytes(bytes(data))
    with pytest.raises(UserError, match="set.npz: not an .npz file of arrays.*encrypted"):
        open_source("npz", str(tmp_path / "set.npz"))


def test_damaged_pixels(tmp_path):
    np.savez(tmp_path / "set.npz", images=_images(50))
    data = bytearray((tmp_path / "set.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "set.npz").write_bytes(bytes(data))
    source = open_source("npz", str(tmp_path / "set.npz"))
    with pytest.raises(UserError, match="set.npz: images cannot be read"):
        source.load("train")


def test_the_file_must_be_named():
    with pytest.raises(UsageError, match="--data_dir"):
        open_source("npz")


def test_real_cifar10_and_svhn(shared_data):
    source = open_source("npz", str(shared_data / "cifar10_subset.npz"))
    assert source.image_shape == (32, 32, 3)
    assert source.label_names[:2] == ("airplane", "automobile")
    assert (np.bincount(source.load("test").labels) == 140).all()
    source = open_source("npz", str(shared_data / "svhn_test_first10000.npz"))
    assert [len(source.load(name).images) for name in ("train", "validation", "test")] == [
        9000,
        500,
        500,
    ]


def test_class_names_that_occur_twice(opened):
    labels = np.array([[0, 1, 0], [1, 0, 1]], np.uint8)
    with pytest.raises(UserError, match="class_names: 'a' is listed twice"):
        opened({"x_train": _images(2), "y_train": labels, "class_names": np.array(["a", "b", "a"])})


def test_changed_bytes_of_a_head(tmp_path):
    file = tmp_path / "data.npz"
    np.savez(file, x_train=_images(60))
    whole = file.read_bytes()
    for place in range(60, 200, 3):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        file.write_bytes(data)
        with contextlib.suppress(UserError):
            open_source("npz", str(file)).load("train")
