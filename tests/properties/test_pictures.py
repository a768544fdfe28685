"""Hostile pictures through every path that reads pictures: an image, or why there is none."""

import types

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hali_tf.bulk.images import PictureImages
from hali_tf.data import images, open_source, pictures
from hali_tf.errors import BadImage, UserError
from hali_tf.evaluation.masks import read_mask
from hali_tf.exploring import choosing
from hali_tf.exporting import pictures as exported
from serving.client import pictures as of_client
from tests.pictures import AWKWARD, HOSTILE, encoded

SHAPE = (16, 16, 3)
# Of those, what may be shown: nothing in them is wrong or large.
HARMLESS = (
    "JPEG turned",
    "animation",
    "PNG with a broken EXIF tag",
    "PNG whose pixels grow",  # what is beyond the last row is not read
    "PNG with a profile that grows",  # nor are profiles
    "TIFF that leads back",  # nor are further pictures
)
pytestmark = [  # Pillow's, of what it leaves out, and of what is refused here anyway
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _graph(data):
    return exported.prepare(data, SHAPE, {})


def in_training(data, path):
    return images.decode(data, 16, 3)


def in_show(data, path):
    return pictures.read([path], SHAPE, "folder")[0]


def in_explorer(data, path):
    coder = types.SimpleNamespace(image_shape=SHAPE)
    image, words = choosing.read(types.SimpleNamespace(coder=coder, data="folder"), path)
    assert " pixels, " in words
    return image


def in_encode(data, path):
    return PictureImages([path], SHAPE, "folder").load(0, 1)["image"][0]


def in_client(data, path):
    return of_client.load(path, SHAPE)[1][0]


def in_export(data, path):
    return _graph(data).numpy()


def as_mask(data, path):
    return read_mask(path, (16, 16))


PATHS = {
    in_training: BadImage,
    in_show: UserError,
    in_explorer: UserError,
    in_encode: UserError,
    in_client: of_client.PictureError,
    in_export: tf.errors.InvalidArgumentError,
    as_mask: UserError,
}


def read(path_of, data, path):
    """The image that a path makes of a file; None where it refuses it in the right way."""
    try:
        image = path_of(data, str(path))
    except PATHS[path_of] as error:
        assert str(error).strip()
        if path_of is not in_export:  # TensorFlow names the operation in lines of its own
            assert "\n" not in str(error) and "BytesIO" not in str(error)
        return None
    assert path_of is as_mask or image.shape == SHAPE and image.dtype == np.uint8
    return image


@pytest.mark.parametrize("path_of", PATHS)
def test_hostile_pictures_are_refused_or_read_whole(tmp_path, path_of):
    for name, data in HOSTILE.items():
        path = tmp_path / f"{len(name)}.png"
        path.write_bytes(data)
        image = read(path_of, data, path)
        if not name.startswith(HARMLESS) and "cut at" not in name:
            assert image is None, name
        if name.startswith(("JPEG turned", "animation")) and path_of in (in_training, in_client):
            assert image is not None, name


@pytest.mark.parametrize("path_of", PATHS)
def test_no_other_readers_of_pillow_are_asked(tmp_path, monkeypatch, path_of):
    """A file may look like a picture to several of them, and the first one gets it."""
    opened, asked = Image.open, []

    def remember(file, mode="r", formats=None):
        asked.append(formats)
        return opened(file, mode, formats)

    monkeypatch.setattr(Image, "open", remember)
    path = tmp_path / "picture.png"
    path.write_bytes(AWKWARD["png 16x16x1"])
    assert read(path_of, path.read_bytes(), path) is not None
    assert all(formats == images.FORMATS for formats in asked)
    assert bool(asked) == (path_of is not in_export)  # TensorFlow reads it


def test_a_folder_of_hostile_pictures_counts_them(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    good = 240
    for number in range(good):
        (folder / f"{number:03}.png").write_bytes(encoded(Image.new("L", (12, 10), number)))
    for number, data in enumerate(HOSTILE.values()):
        (folder / f"hostile{number}.jpg").write_bytes(data)
    arguments = {"image_size": 16, "cache_dir": str(tmp_path / "cache")}
    source = open_source("folder", str(folder), **arguments)
    splits = [source.load(name) for name in ("train", "validation", "test")]
    accepted = sum(read(in_training, data, None) is not None for data in HOSTILE.values())
    assert sum(split.skipped for split in splits) == len(HOSTILE) - accepted
    assert sum(len(split.images) for split in splits) == good + accepted
    with pytest.raises(UserError, match="hostile.*--strict_data"):
        strict = open_source("folder", str(folder), strict=True, **arguments)
        for name in ("train", "validation", "test"):
            strict.load(name)


def _peak():
    """The most memory that this process had since it was last asked, in MB."""
    try:
        with open("/proc/self/status", encoding="ascii") as f:
            (line,) = [line for line in f if line.startswith("VmHWM")]
        with open("/proc/self/clear_refs", "w", encoding="ascii") as f:
            f.write("5")
    except OSError:
        pytest.skip("this system does not tell peaks of memory")
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("path_of", PATHS)
def test_hostile_pictures_take_no_memory(tmp_path, path_of):
    path = tmp_path / "hostile.png"
    for name, data in HOSTILE.items():
        path.write_bytes(data)
        _peak()
        before = _peak()
        read(path_of, data, path)
        # The pixels of a PNG that grow are the most; decoded, the bombs had 140 and more.
        assert _peak() - before < 100, name


@st.composite
def damaged(draw):
    """An awkward picture with a few bytes changed, cut, or put in."""
    data = bytearray(AWKWARD[draw(st.sampled_from(sorted(AWKWARD)))])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        new = draw(st.binary(max_size=6))
        data[place : place + draw(st.integers(0, 6))] = new
        if not data:
            break
    return bytes(data[: draw(st.sampled_from([None, None, len(data) // 2]))])


@given(damaged())
def test_damage_never_ends_in_another_error(tmp_path, data):
    path = tmp_path / "damaged.png"
    path.write_bytes(data)
    read_by = {path_of: read(path_of, data, path) for path_of in PATHS}
    # What one of them reads, all read, and alike; the graph has decoders of its own.
    for path_of in (in_show, in_explorer, in_encode, in_client):
        assert np.array_equal(read_by[in_training], read_by[path_of])


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"P6 "])
)
def test_bytes_that_are_no_picture(tmp_path, data, head):
    path = tmp_path / "bytes.png"
    path.write_bytes(head + data)
    for path_of in PATHS:
        read(path_of, head + data, path)
