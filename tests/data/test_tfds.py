"""Sets of tensorflow-datasets: small ones prepared here, MNIST from its original files."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from hali_tf.data import open_source
from hali_tf.errors import UsageError, UserError
from tests.data.tiny_pictures import TinyPictures


class BrokenPictures(TinyPictures):
    """The same with two images that cannot be decoded."""

    BAD = (3, 7)


class UnlabelledPictures(TinyPictures):
    """The same; no image of the test split has a label, and three others have none."""

    UNLABELLED = {"train": (0, 1, 5), "test": range(5)}


class RacedPictures(TinyPictures):
    """The same; another process prepares it, in the same folder, while this one does."""

    others = 1

    def _split_generators(self, dl_manager):
        if RacedPictures.others:
            RacedPictures.others -= 1
            RacedPictures(data_dir=self._data_dir_root).download_and_prepare()
        return super()._split_generators(dl_manager)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folder of tensorflow-datasets with all three sets."""
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (TinyPictures, BrokenPictures, UnlabelledPictures):
        builder(data_dir=str(folder)).download_and_prepare()
    return folder


def _greys(split):
    return split.images[:, 16, 16, 0].tolist()


def test_splits_sizes_labels(prepared, tmp_path):
    source = open_source("tfds:tiny_pictures", str(prepared), cache_dir=str(tmp_path))
    assert source.image_shape == (32, 32, 1) and source.label_names == ("even", "odd")
    train, validation, test = (source.load(name) for name in ("train", "validation", "test"))
    assert [len(split.images) for split in (train, validation, test)] == [38, 2, 5]
    assert sorted(_greys(train) + _greys(validation)) == list(range(40))
    assert sorted(_greys(test)) == list(range(5))
    for split in (train, validation, test):
        assert split.labels.dtype == np.int64
        assert split.labels.tolist() == [grey % 2 for grey in _greys(split)]
    assert (train.images[:, :2] == 0).all(), "28x28 is padded to 32x32"


def test_a_split_without_any_label_has_none(prepared, tmp_path):
    """As ImageNet's test split; where some images have a label, -1 says which have none."""
    source = open_source("tfds:unlabelled_pictures", str(prepared), cache_dir=str(tmp_path))
    for _ in ("decoded", "from the cache"):
        test = source.load("test")
        assert test.labels is None and sorted(_greys(test)) == list(range(5))
    splits = [source.load(name) for name in ("train", "validation")]
    labels = {grey: label for split in splits for grey, label in zip(_greys(split), split.labels)}
    assert labels == {grey: -1 if grey in (0, 1, 5) else grey % 2 for grey in range(40)}
    assert all(split.labels.dtype == np.int64 for split in splits)


def test_the_order_is_the_same_every_time(prepared, tmp_path):
    sources = [
        open_source("tfds:tiny_pictures", str(prepared), cache_dir=str(tmp_path / name))
        for name in "ab"
    ]
    assert _greys(sources[0].load("train")) == _greys(sources[1].load("train"))


def test_size_and_channels(prepared, tmp_path):
    source = open_source(
        "tfds:tiny_pictures", str(prepared), image_size=16, channels=3, cache_dir=str(tmp_path)
    )
    assert source.load("test").images.shape == (5, 16, 16, 3) == (5, *source.image_shape)


def test_bad_records_are_skipped_or_named(prepared, tmp_path):
    source = open_source("tfds:broken_pictures", str(prepared), cache_dir=str(tmp_path))
    splits = [source.load(name) for name in ("train", "validation", "test")]
    assert sum(split.skipped for split in splits) == 3  # 3 twice: test has it too.
    assert all((np.array(_greys(split)) % 2 == split.labels).all() for split in splits)
    strict = open_source(
        "tfds:broken_pictures", str(prepared), strict=True, cache_dir=str(tmp_path)
    )
    with pytest.raises(UserError, match="broken_pictures/1.0.0 test image .*: not an image"):
        strict.load("test")


def test_a_damaged_record_file_is_named(prepared, tmp_path):
    folder = tmp_path / "tfds"
    TinyPictures(data_dir=str(folder)).download_and_prepare()
    (file,) = (folder / "tiny_pictures" / "1.0.0").glob("*-test.tfrecord*")
    file.write_bytes(file.read_bytes()[:-40])
    source = open_source("tfds:tiny_pictures", str(folder), cache_dir=str(tmp_path))
    with pytest.raises(UserError, match="tiny_pictures/1.0.0: a file .* is damaged") as caught:
        source.load("test")
    assert "\n" not in str(caught.value)


def test_celeba_of_tensorflow_datasets(tmp_path):
    registered = tfds.builder_cls("celeb_a")

    with tfds.core.registered.skip_registration():

        class SmallCelebA(registered):
            """The real features, six made-up faces."""

            name = "celeb_a"

            def _split_generators(self, dl_manager):
                return {name: self._faces() for name in ("train", "validation", "test")}

            def _faces(self):
                features = self.info.features
                for key in range(6):
                    pixels = np.zeros((218, 178, 3), dtype=np.uint8)
                    pixels[35:183, 15:163] = 40 * key
                    yield (
                        key,
                        {
                            "image": pixels,
                            "landmarks": dict.fromkeys(features["landmarks"], key),
                            "attributes": {
                                name: (name == "Young") == (key % 2 == 0)
                                for name in features["attributes"]
                            },
                            **(
                                {"identity": {"Identity_No": key}} if "identity" in features else {}
                            ),
                        },
                    )

    SmallCelebA(data_dir=str(tmp_path / "tfds")).download_and_prepare()
    source = open_source("celeba", str(tmp_path / "tfds"), cache_dir=str(tmp_path / "cache"))
    split = source.load("validation")
    assert source.name == "celeba" and source.image_shape == (64, 64, 3) and source.multi_label
    assert len(source.label_names) == 40 and source.label_names[-1] == "Young"
    assert split.labels.dtype == np.uint8 and split.labels.shape == (6, 40)
    even = split.images[:, 0, 0, 0] // 40 % 2 == 0  # The corner shows that the crop is tight.
    assert (split.labels[:, -1] == even).all() and (split.labels[:, 0] != even).all()


@pytest.mark.parametrize(
    "name, message",
    [
        ("tfds:tiny_picture", "no set 'tiny_picture'; did you mean tfds:tiny_pictures"),
        ("tfds:", "--data=tfds:: "),
        ("tfds:tiny_pictures:big", "--data=tfds:tiny_pictures:big: .*big"),
        ("tfds:imagenet2012_corrupted:nonsense", "nonsense"),
    ],
)
def test_unknown_sets_and_configurations(name, message, tmp_path):
    with pytest.raises(UsageError, match=message) as caught:
        open_source(name, str(tmp_path))
    assert "\n" not in str(caught.value)


def test_sets_that_need_a_size_or_have_no_images(tmp_path):
    with pytest.raises(UsageError, match="--image_size"):
        open_source("tfds:caltech101", str(tmp_path))
    assert open_source("tfds:caltech101", str(tmp_path), image_size=64).image_shape == (64, 64, 3)
    with pytest.raises(UserError, match="one image per example; received features"):
        open_source("tfds:imdb_reviews", str(tmp_path))


def test_short_names_and_their_shapes(tmp_path):
    shapes = {
        name: open_source(name, str(tmp_path)).image_shape
        for name in ("mnist", "svhn", "cifar10", "imagenet128", "tfds:celeb_a")
    }
    assert shapes == {
        "mnist": (32, 32, 1),
        "svhn": (32, 32, 3),
        "cifar10": (32, 32, 3),
        "imagenet128": (128, 128, 3),
        "tfds:celeb_a": (64, 64, 3),
    }


def test_a_missing_folder():
    with pytest.raises(UserError, match="nowhere: no such folder"):
        open_source("mnist", "nowhere")


def test_a_set_that_must_be_fetched_by_hand_says_so(tmp_path):
    source = open_source("imagenet128", str(tmp_path))
    with pytest.raises(UserError, match="could not prepare.*--data_dir") as caught:
        source.load("train")
    assert "\n" not in str(caught.value)


def test_no_network_is_one_line_and_said_before(tmp_path, monkeypatch, caplog):
    def offline(*_, **__):
        raise ConnectionError("Failed to resolve\n'storage.googleapis.com'")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(UserError, match="Failed to resolve 'storage.*--data_dir"):
        open_source("mnist", str(tmp_path)).load("train")
    assert "downloading" in caplog.text


def test_two_that_prepare_a_set_at_the_same_time(prepared, tmp_path):
    alone = open_source("tfds:tiny_pictures", str(prepared), cache_dir=str(tmp_path / "alone"))
    source = open_source("tfds:raced_pictures", str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert _greys(source.load("train")) == _greys(alone.load("train"))
    assert not RacedPictures.others, "the other process came first"


@pytest.mark.slow
def test_mnist_from_its_original_files(shared_data, tmp_path):
    source = open_source("mnist", str(shared_data / "mnist"), cache_dir=str(tmp_path), strict=True)
    train, validation, test = (source.load(name) for name in ("train", "validation", "test"))
    assert [len(split.images) for split in (train, validation, test)] == [57000, 3000, 10000]
    counts = np.bincount(train.labels) + np.bincount(validation.labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert abs(train.images.mean() / 255 * 32 * 32 / 28**2 - 0.1307) < 0.001
