"""CelebA in its official layout, whole and damaged."""

import numpy as np
import pytest
from PIL import Image

from hali_tf.data import open_source
from hali_tf.errors import UserError

NAMES = ("Bald", "Smiling", "Young")


@pytest.fixture
def celeba(tmp_path, write):
    """Writes a set of twelve aligned images: 6 train, 3 validation, 3 test; returns its folder."""
    folder = tmp_path / "celeba"
    attributes, partition = ["12", " ".join(NAMES) + " "], []
    for number in range(12):
        name = f"{number + 1:06}.jpg"
        write(folder / "img_align_celeba" / name, pixels=(number * 20, 0, 0), size=(178, 218))
        bits = [(number >> bit) & 1 for bit in range(3)]
        attributes.append(name + " " + " ".join(" 1" if bit else "-1" for bit in bits))
        partition.append(f"{name} {0 if number < 6 else 1 if number < 9 else 2}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (folder / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    return folder


@pytest.fixture
def opened(celeba, tmp_path):
    def open_set(**arguments):
        return open_source("celeba", str(celeba), cache_dir=str(tmp_path / "cache"), **arguments)

    return open_set


def _change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_splits_attributes_and_shapes(opened):
    source = opened()
    assert source.image_shape == (64, 64, 3)
    assert source.label_names == NAMES and source.multi_label
    train, validation, test = (source.load(name) for name in ("train", "validation", "test"))
    assert [len(split.images) for split in (train, validation, test)] == [6, 3, 3]
    assert train.labels.dtype == np.uint8
    assert validation.labels.tolist() == [[0, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert np.abs(test.images[:, 0, 0, 0].astype(int) - [180, 200, 220]).max() <= 2


def test_the_crop_is_the_central_148(celeba, opened):
    pixels = np.zeros((218, 178, 3), dtype=np.uint8)
    pixels[35:183, 15:163] = 255
    Image.fromarray(pixels).save(
        celeba / "img_align_celeba" / "000001.jpg", quality=100, subsampling=0
    )
    first = opened(image_size=148).load("train").images[0]
    assert first.min() > 200, "something beside the box is in"
    pixels = 255 - pixels
    pixels[36:182, 16:162] = 255
    Image.fromarray(pixels).save(
        celeba / "img_align_celeba" / "000001.jpg", quality=100, subsampling=0
    )
    first = opened(image_size=148).load("train").images[0]
    assert first[0].max() < 120 and first[-1].max() < 120, "something of the box is missing"
    assert first[:, 0].max() < 120 and first[:, -1].max() < 120


def test_square_images_are_only_resized(celeba, opened, write):
    for number in range(12):
        write(celeba / "img_align_celeba" / f"{number + 1:06}.jpg", pixels=128, size=(64, 64))
    assert opened().load("test").images.shape == (3, 64, 64, 3)
    assert opened(image_size=32).load("test").images.shape == (3, 32, 32, 3)


def test_an_image_of_another_shape_is_skipped_and_labels_stay_with_their_images(
    celeba, opened, write, caplog
):
    write(celeba / "img_align_celeba" / "000002.jpg", pixels=9, size=(409, 687))
    split = opened().load("train")
    assert split.skipped == 1 and "000002.jpg: expected an aligned" in caplog.text
    assert split.labels[:, 0].tolist() == [0, 0, 1, 0, 1]
    with pytest.raises(UserError, match="000002.jpg: expected an aligned.*178x218.*409x687"):
        opened(strict=True).load("train")


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda d: (d / "list_attr_celeba.txt").unlink(), "list_attr_celeba.txt: not found"),
        (lambda d: (d / "list_eval_partition.txt").unlink(), "list_eval_partition.txt: not found"),
        (lambda d: (d / "img_align_celeba").rename(d / "images"), "img_align_celeba: not found"),
        (
            lambda d: _change(d / "list_attr_celeba.txt", "12\n", "13\n"),
            "list_attr_celeba.txt: its first line promises 13 images; received 12",
        ),
        (
            lambda d: _change(d / "list_attr_celeba.txt", "12\n", ""),
            "list_attr_celeba.txt: expected the number of images",
        ),
        (
            lambda d: (d / "list_attr_celeba.txt").write_text(""),
            "list_attr_celeba.txt: expected the number",
        ),
        (
            lambda d: (d / "list_attr_celeba.txt").write_bytes(b"\xff\xfe\x00"),
            "cannot be read as text",
        ),
        (
            lambda d: _change(d / "list_attr_celeba.txt", "000003.jpg -1", "000003.jpg -1 1"),
            "list_attr_celeba.txt, line 5: expected 3 values .*received 4",
        ),
        (
            lambda d: _change(d / "list_attr_celeba.txt", "000003.jpg -1", "000003.jpg 0"),
            "line 5: expected values -1 and 1; received '0'",
        ),
        (
            lambda d: _change(d / "list_attr_celeba.txt", "000003.jpg", "000004.jpg"),
            "line 6: 000004.jpg is listed twice",
        ),
        (
            lambda d: _change(d / "list_attr_celeba.txt", "000003.jpg", "900003.jpg"),
            "list_attr_celeba.txt: has 900003.jpg, "
            "which .*list_eval_partition.txt lacks .1 such of 12",
        ),
        (
            lambda d: _change(d / "list_eval_partition.txt", "000005.jpg 0\n", ""),
            "list_attr_celeba.txt: has 000005.jpg, which .*list_eval_partition.txt lacks",
        ),
        (
            lambda d: _change(
                d / "list_eval_partition.txt", "000005.jpg 0", "000005.jpg 0\n900005.jpg 0"
            ),
            "list_eval_partition.txt: has 900005.jpg, which .*list_attr_celeba.txt lacks",
        ),
        (
            lambda d: _change(d / "list_eval_partition.txt", "000005.jpg 0", "000005.jpg 3"),
            "list_eval_partition.txt, line 5: expected an image's name and 0, 1 or 2",
        ),
        (
            lambda d: (d / "img_align_celeba" / "000007.jpg").unlink(),
            "list_attr_celeba.txt: has 000007.jpg, which .*img_align_celeba lacks",
        ),
        (
            lambda d: (d / "img_align_celeba" / "000007.jpg").rename(
                d / "img_align_celeba" / "x.jpg"
            ),
            "has 000007.jpg, which .*img_align_celeba lacks",
        ),
        (
            lambda d: (d / "img_align_celeba" / "900.jpg").write_bytes(b""),
            "img_align_celeba: has 900.jpg, which .*list_attr_celeba.txt lacks",
        ),
    ],
)
def test_files_that_do_not_match_are_named(celeba, opened, damage, message):
    damage(celeba)
    with pytest.raises(UserError, match=message) as caught:
        opened()
    assert "\n" not in str(caught.value)


def test_a_missing_folder():
    with pytest.raises(UserError, match="nowhere: no such folder; expected CelebA's"):
        open_source("celeba", "nowhere")


def test_a_split_without_images(celeba, opened):
    file = celeba / "list_eval_partition.txt"
    file.write_text(file.read_text().replace(" 2\n", " 0\n"))
    with pytest.raises(UserError, match="list_eval_partition.txt: no image of the test split"):
        opened().load("test")


def test_changed_attributes_are_not_taken_from_the_cache(celeba, opened):
    assert opened().load("test").labels[0].tolist() == [1, 0, 0]
    _change(celeba / "list_attr_celeba.txt", "000010.jpg  1 -1 -1", "000010.jpg  1  1  1 ")
    assert opened().load("test").labels[0].tolist() == [1, 1, 1]


def test_real_originals_equal_their_prepared_copies(shared_data, tmp_path):
    """The same faces, cropped and reduced here, and long ago by the one who prepared them."""
    originals = open_source(
        "celeba", str(shared_data / "celeba_full_size"), strict=True, cache_dir=str(tmp_path)
    )
    split = originals.load("validation")
    assert len(originals.label_names) == 40 and originals.label_names[20] == "Male"
    assert split.images.shape == (150, 64, 64, 3) and split.labels.shape == (150, 40)
    folder = shared_data / "celeba_full_size"
    names = sorted(
        line.split()[0]
        for line in (folder / "list_eval_partition.txt").read_text().splitlines()
        if line.endswith(" 1")
    )
    compared = 0
    for name, image in zip(names, split.images):
        prepared = shared_data / "celeba_64" / "img_align_celeba" / name
        if prepared.exists():
            difference = np.asarray(Image.open(prepared)).astype(int) - image
            assert np.abs(difference).mean() < 4, name
            compared += 1
    assert compared > 10
