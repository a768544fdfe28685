"""Image sets on an object store, as which TensorFlow's ram:// stands in."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hali_tf import files
from hali_tf.data import SPLITS, open_source
from hali_tf.errors import UsageError, UserError
from tests.data.tiny_pictures import TinyPictures


def _folder(root):
    """Splits of class folders, one deeper, beside what is no image."""
    for split, count in (("train", 6), ("val", 2)):
        for number in range(count):
            path = root / split / f"{number % 2}.class" / ("deep" * (number > 3)) / f"{number}.PNG"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 10), (number * 20, 0, 0)).save(path)
    for name in ("train/notes.txt", "train/.hidden/1.png", "other/1.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("no image")


def _celeba(root):
    (root / "img_align_celeba").mkdir(parents=True)
    attributes, partition = ["9", "Bald Young"], []
    for number in range(9):
        name = f"{number:06}.jpg"
        Image.new("RGB", (178, 218), (number * 20, 0, 0)).save(root / "img_align_celeba" / name)
        attributes.append(f"{name} {1 - 2 * (number % 2)} 1")
        partition.append(f"{name} {number % 3}")
    (root / "list_attr_celeba.txt").write_text("\n".join(attributes))
    (root / "list_eval_partition.txt").write_text("\n".join(partition))


def _npz(root):
    root.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    np.savez_compressed(root / "set.npz", images=images, labels=np.arange(40) % 4)


def _upload(root, remote):
    for path in root.rglob("*"):
        if path.is_file():
            copied = shutil.copy(path, root.parent / "copied")
            files.put(copied, f"{remote}/{path.relative_to(root).as_posix()}")
    for path in root.rglob("*"):  # ram:// lists what was made
        if path.is_dir():
            files.make_folder(f"{remote}/{path.relative_to(root).as_posix()}")


@pytest.mark.parametrize("data, make", [("folder", _folder), ("celeba", _celeba), ("npz", _npz)])
def test_a_set_on_a_store_equals_that_on_a_disk(tmp_path, data, make):
    make(tmp_path / "set")
    _upload(tmp_path / "set", f"ram://{data}/set")
    local, remote = (
        open_source(data, folder, 8, cache_dir=str(tmp_path / name))
        for name, folder in (("one", str(tmp_path / "set")), ("two", f"ram://{data}/set"))
    )
    assert remote.label_names == local.label_names and remote.image_shape == local.image_shape
    for name in SPLITS:
        one, two = local.load(name), remote.load(name)
        np.testing.assert_array_equal(two.images, one.images)
        np.testing.assert_array_equal(two.labels, one.labels)


def test_a_file_of_arrays_may_be_named_itself(tmp_path):
    _npz(tmp_path / "set")
    _upload(tmp_path / "set", "ram://arrays")
    assert open_source("npz", "ram://arrays/set.npz").image_shape == (8, 8, 3)


@pytest.mark.parametrize("data", ["folder", "celeba", "npz"])
def test_a_set_that_is_not_there_is_said_with_its_whole_name(data):
    with pytest.raises(UserError, match="^--data_dir=ram://nowhere/set: no such "):
        open_source(data, "ram://nowhere/set", 8)


def test_decoded_images_cannot_be_on_a_store():
    with pytest.raises(UsageError, match="^--cache_dir=ram://cache: expected a folder on a disk"):
        open_source("digits", cache_dir="ram://cache")


def test_a_set_is_decoded_again_when_it_has_changed(tmp_path):
    _folder(tmp_path / "set")
    _upload(tmp_path / "set", "ram://changing/set")

    def red():
        source = open_source("folder", "ram://changing/set", 8, cache_dir=str(tmp_path / "cache"))
        return source.load("train").images[..., 0].max()

    assert red() == 100
    Image.new("RGB", (9, 9), (255, 0, 0)).save(tmp_path / "new.png")
    files.put(str(tmp_path / "new.png"), "ram://changing/set/train/0.class/0.PNG")
    assert red() == 255


# What tensorflow-datasets and its library of paths, etils, call of TensorFlow's file systems.
CALLED = ("GFile", "exists", "isdir", "listdir", "glob", "walk", "stat")


@pytest.fixture
def gs_in_memory(monkeypatch):
    """Lets gs:// be TensorFlow's ram://, which etils does not know."""

    def to_ram(path):
        return str(path).replace("gs://", "ram://")

    def in_memory(call):
        def called(path, *arguments, **options):
            found = call(to_ram(path), *arguments, **options)
            if isinstance(found, list):
                return [name.replace("ram://", "gs://") for name in found]
            return found

        return called

    for name in CALLED:
        monkeypatch.setattr(tf.io.gfile, name, in_memory(getattr(tf.io.gfile, name)))

    class Records(tf.data.TFRecordDataset):
        def __init__(self, path, *arguments, **options):
            super().__init__(tf.strings.regex_replace(path, "^gs:", "ram:"), *arguments, **options)

    monkeypatch.setattr(tf.data, "TFRecordDataset", Records)


def test_a_set_of_tensorflow_datasets_on_a_store_equals_that_on_a_disk(tmp_path, gs_in_memory):
    TinyPictures(data_dir=str(tmp_path / "set")).download_and_prepare()
    _upload(tmp_path / "set", "ram://tfds/set")
    local, remote = (
        open_source("tfds:tiny_pictures", folder, 16, cache_dir=str(tmp_path / name))
        for name, folder in (("one", str(tmp_path / "set")), ("two", "gs://tfds/set"))
    )
    assert remote.label_names == ("even", "odd")
    for name in SPLITS:
        one, two = local.load(name), remote.load(name)
        np.testing.assert_array_equal(two.images, one.images)
        np.testing.assert_array_equal(two.labels, one.labels)


@pytest.mark.parametrize("folder", ["ram://bucket/sets", "hdfs://host/sets"])
def test_a_store_that_tensorflow_datasets_cannot_read_is_refused(tmp_path, folder):
    scheme = folder.partition("//")[0]
    words = f"^--data_dir={folder}: tensorflow-datasets does not know {scheme}//; "
    with pytest.raises(UsageError, match=words):
        open_source("tfds:tiny_pictures", folder, cache_dir=str(tmp_path))
