"""Folders of the user's own images, in every layout and with every mistake."""

import os

import numpy as np
import pytest
from PIL import Image

from hali_tf.data import open_source
from hali_tf.errors import UsageError, UserError


@pytest.fixture
def opened(tmp_path):
    """Opens tmp_path/set with 8x8 images, decoding into tmp_path/cache."""

    def open_set(**arguments):
        arguments = {"image_size": 8, **arguments}
        return open_source(
            "folder", str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"), **arguments
        )

    return open_set


@pytest.fixture
def fill(tmp_path, write):
    """Writes `count` images into tmp_path/set/FOLDER, each of its own grey."""

    def fill_folder(folder, count, first=0):
        for number in range(first, first + count):
            write(tmp_path / "set" / folder / f"{number:03}.png", pixels=number)

    return fill_folder


def _greys(split):
    return sorted(split.images[:, 0, 0, 0].tolist())


def test_a_flat_folder_is_cut_into_three(fill, opened):
    fill(".", 100)
    source = opened()
    splits = [source.load(name) for name in ("train", "validation", "test")]
    assert source.label_names is None and splits[0].labels is None
    assert source.image_shape == (8, 8, 3) and splits[0].images.shape == (90, 8, 8, 3)
    assert sorted(sum(map(_greys, splits), [])) == list(range(100))
    assert [len(split.images) for split in splits] == [90, 5, 5]


def test_the_cut_depends_on_relative_names_alone(fill, opened, tmp_path):
    fill(".", 40)
    before = _greys(opened().load("test"))
    os.rename(tmp_path / "set", tmp_path / "other")
    (tmp_path / "other" / "notes.txt").write_text("no image")
    cache = str(tmp_path / "other_cache")
    moved = open_source("folder", str(tmp_path / "other"), image_size=8, cache_dir=cache)
    assert _greys(moved.load("test")) == before


def test_class_folders_give_labels_by_sorted_name(fill, opened):
    fill("zebra", 10, first=0)
    fill("ant", 10, first=100)
    fill("moth", 10, first=200)
    source = opened()
    split = source.load("train")
    assert source.label_names == ("ant", "moth", "zebra") and not source.multi_label
    assert split.labels.dtype == np.int64
    greys = split.images[:, 0, 0, 0].astype(int)
    assert (split.labels == np.array([2, 0, 1])[greys // 100]).all()
    assert len(set(split.labels[:10])) > 1, "the first images are of one class only"


def test_deeper_folders_belong_to_the_topmost_class(fill, opened):
    fill("ant/images", 3)
    fill("ant/more/images", 3, first=10)
    fill("bee", 3, first=100)
    source = opened()
    assert source.label_names == ("ant", "bee")
    split = source.load("train")
    assert (split.labels == (split.images[:, 0, 0, 0] >= 100)).all()


@pytest.mark.parametrize(
    "train, validation, test",
    [
        ("train", "val", "test"),
        ("training", "validation", "testing"),
        ("train2017", "val2017", "test2017"),
        ("Train", "valid", "TEST"),
    ],
)
def test_split_folders(fill, opened, train, validation, test):
    fill(train, 6)
    fill(validation, 3, first=100)
    fill(test, 2, first=200)
    source = opened()
    assert _greys(source.load("train")) == list(range(6))
    assert _greys(source.load("validation")) == [100, 101, 102]
    assert _greys(source.load("test")) == [200, 201]


def test_a_missing_split_is_cut_from_training(fill, opened):
    fill("train/a", 20)
    fill("train/b", 20, first=50)
    fill("val/a", 3, first=100)
    source = opened()
    assert len(source.load("train").images) == 38 and len(source.load("test").images) == 2
    assert _greys(source.load("validation")) == [100, 101, 102]
    assert source.load("validation").labels.tolist() == [0, 0, 0]


def test_an_unlabelled_test_folder_beside_class_folders(fill, opened):
    fill("train/a", 5)
    fill("val/a", 5)
    fill("test", 5)
    source = opened()
    assert source.load("train").labels is not None and source.load("test").labels is None


def test_a_class_may_be_called_train(fill, opened):
    fill("plane", 5)
    fill("train", 5)
    assert opened().label_names == ("plane", "train")


def test_hidden_files_and_other_files_are_left_out(fill, opened, tmp_path):
    fill("ant", 5)
    fill(".thumbnails", 5)
    fill("__MACOSX", 5)
    (tmp_path / "set" / "ant" / "._000.png").write_bytes(b"resource fork")
    (tmp_path / "set" / "README.md").write_text("about")
    source = opened()
    assert source.label_names == ("ant",)
    assert sum(len(source.load(name).images) for name in ("train", "validation", "test")) == 5


def test_renamed_classes_are_not_taken_from_the_cache(fill, opened, tmp_path):
    fill("train/m", 5)
    fill("val/m", 5)
    assert set(opened().load("validation").labels) == {0}
    fill("train/a", 5)
    assert set(opened().load("validation").labels) == {1}


def test_bad_images_of_every_kind_are_skipped(fill, opened, tmp_path, write):
    fill(".", 60)
    folder = tmp_path / "set"
    whole = (folder / "000.png").read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("404 Not Found")
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    source = opened()
    splits = [source.load(name) for name in ("train", "validation", "test")]
    assert sum(split.skipped for split in splits) == 4
    assert sorted(sum(map(_greys, splits), [])) == list(range(60))


def test_strict_names_the_file(fill, opened, tmp_path):
    fill("train", 5)
    fill("val", 5)
    (tmp_path / "set" / "train" / "text.jpg").write_text("404 Not Found")
    with pytest.raises(UserError, match="set/train/text.jpg: not an image"):
        opened(strict=True).load("train")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda fill, root: None, "set: no such folder"),
        (lambda fill, root: root.mkdir(), "set: no images found .0 other files"),
        (lambda fill, root: root.write_text("file"), "set: no such folder"),
        (
            lambda fill, root: (root.mkdir(), (root / "a.txt").write_text("")),
            "no images found .1 other",
        ),
        (lambda fill, root: fill(".", 2), "at least 3 images.*received 2"),
        (
            lambda fill, root: (fill("ant", 5), (root / "bee").mkdir()),
            "set/bee: a class folder without images",
        ),
        (
            lambda fill, root: (fill("ant", 5), fill(".", 1)),
            "set/000.png: lies beside class folders",
        ),
        (lambda fill, root: (fill("train", 5), (root / "val").mkdir()), "set/val: no images found"),
        (
            lambda fill, root: (fill("train/ant", 5), fill("val/Ant", 5)),
            "set/val/Ant: a class folder that .*train lacks",
        ),
        (
            lambda fill, root: (fill("train2014", 5), fill("train2017", 5)),
            "both train2014/ and train2017/",
        ),
        (lambda fill, root: (fill("val", 5), fill("test", 5)), "has val/ but no train/"),
    ],
    ids=[
        "missing",
        "empty",
        "a file",
        "no images",
        "too few",
        "empty class",
        "mixed",
        "empty split",
        "other classes",
        "two trains",
        "no train",
    ],
)
def test_mistakes_are_named_at_the_door(fill, opened, tmp_path, make, message):
    make(fill, tmp_path / "set")
    with pytest.raises(UserError, match=message) as caught:
        opened()
    assert "\n" not in str(caught.value)


def count_of(source):
    return sum(len(source.load(name).images) for name in ("train", "validation", "test"))


@pytest.mark.parametrize("target", [".", "..", "ant", "../bee/deep"])
def test_links_to_folders_multiply_nothing(fill, opened, tmp_path, target):
    fill("ant/deep", 20)
    fill("bee/deep", 20, first=100)
    (tmp_path / "set" / "ant" / "again").symlink_to(target, target_is_directory=True)
    source = opened()
    assert count_of(source) == 40 and source.label_names == ("ant", "bee")
    split = source.load("train")
    assert (split.labels == (split.images[:, 0, 0, 0] >= 100)).all()


def test_links_to_folders_elsewhere_are_followed(fill, opened, tmp_path, write):
    fill("ant", 20)
    for number in range(20):
        write(tmp_path / "elsewhere" / f"{number}.png", pixels=100 + number)
    (tmp_path / "set" / "bee").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert count_of(opened()) == 40


def test_links_into_another_split_bring_no_images_of_it(fill, opened, tmp_path):
    fill("train", 10)
    fill("val", 5, first=50)
    fill("test", 5, first=100)
    (tmp_path / "set" / "train" / "more").symlink_to("../test", target_is_directory=True)
    assert _greys(opened().load("train")) == list(range(10))


def test_a_split_that_is_a_link_to_another_is_refused(fill, opened, tmp_path):
    fill("train", 10)
    (tmp_path / "set" / "test").symlink_to("train", target_is_directory=True)
    with pytest.raises(UserError, match="set/test: is a link to .*set/train"):
        opened()


def test_pipes_and_devices_are_bad_images_and_nobody_waits_for_them(fill, opened, tmp_path):
    fill(".", 20)
    os.mkfifo(tmp_path / "set" / "pipe.png")
    (tmp_path / "set" / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "set" / "itself.png").symlink_to("itself.png")
    source = opened()
    splits = [source.load(name) for name in ("train", "validation", "test")]
    assert sum(split.skipped for split in splits) == 3


def test_folder_and_size_are_needed(tmp_path):
    with pytest.raises(UsageError, match="--data_dir"):
        open_source("folder", image_size=8)
    with pytest.raises(UsageError, match="--image_size"):
        open_source("folder", str(tmp_path))


def test_real_photographs(shared_data, tmp_path):
    source = open_source(
        "folder",
        str(shared_data / "coco_sample"),
        image_size=64,
        cache_dir=str(tmp_path),
        strict=True,
    )
    split = source.load("validation")
    assert split.images.shape == (128, 64, 64, 3) and 60 < split.images.mean() < 180
    assert len(source.load("train").images) + len(source.load("test").images) == 128


def test_real_class_folders(shared_data, tmp_path):
    source = open_source(
        "folder",
        str(shared_data / "imagenette_128"),
        image_size=128,
        cache_dir=str(tmp_path),
        strict=True,
    )
    split = source.load("validation")
    assert len(source.label_names) == 10 and source.label_names[0] == "n01440764"
    assert split.images.shape == (600, 128, 128, 3) and (np.bincount(split.labels) == 60).all()


def test_a_class_folder_whose_name_is_not_utf_8_is_refused(tmp_path):
    for name in (b"ant", b"caf\xe9"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        Image.new("L", (8, 8)).save(os.path.join(os.fsdecode(folder), "a.png"))
    with pytest.raises(UserError, match="is not UTF-8; rename it"):
        open_source("folder", str(tmp_path), 8)
