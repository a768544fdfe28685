"""Any content of the files that say what is in a set: read, or one line that names the file."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from hali_tf.attributes import folder as folders
from hali_tf.data import open_source
from hali_tf.errors import UserError
from tests.pictures import encoded

WORD = st.sampled_from(
    ["000001.jpg", "000002.jpg", "1", "-1", "0", "2", "²", "Young", "Bald", "", "9" * 5000, "é"]
)
LINES = st.lists(st.lists(WORD, max_size=4).map(" ".join), max_size=5).map("\n".join)
TEXT = LINES.map(str.encode) | st.binary(max_size=60)
RIGHT = {
    "list_attr_celeba.txt": b"2\nBald Young\n000001.jpg 1 -1\n000002.jpg -1 -1\n",
    "list_eval_partition.txt": b"000001.jpg 0\n000002.jpg 1\n",
}


@given(st.sampled_from(sorted(RIGHT)), TEXT)
@example(name="list_attr_celeba.txt", content=RIGHT["list_attr_celeba.txt"])
def test_attribute_and_partition_files_of_anything(tmp_path, name, content):
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        image = folder / "img_align_celeba" / f"00000{number}.jpg"
        image.write_bytes(encoded(Image.new("RGB", (178, 218)), "JPEG"))
    for file, right in RIGHT.items():
        (folder / file).write_bytes(content if file == name else right)
    try:
        source = open_source("celeba", str(folder), cache_dir=str(tmp_path / "cache"))
    except UserError as error:
        assert "\n" not in str(error) and str(folder) in str(error)
        return
    labels = source.load("train").labels
    assert labels.dtype == np.uint8 and labels.shape[1] == len(source.label_names)


@given(
    st.dictionaries(
        st.sampled_from(["attributes", "image_shape", "thresholds", "encoder", "config"]),
        st.none() | st.integers() | st.text() | st.lists(st.integers(), max_size=3),
    )
    | st.lists(st.none())
    | st.none()
)
def test_a_classifier_json_of_anything(tmp_path, content):
    (tmp_path / "classifier.json").write_text(json.dumps(content))
    with pytest.raises(UserError):
        folders.load(str(tmp_path))


DTYPES = st.sampled_from(["uint8", "int64", "uint64", "float32", "bool", "S3", "U2", "complex64"])
SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple) | st.just((5, 4, 4, 3))


@st.composite
def arrays(draw):
    """Arrays by the names that mean something, of any type and shape."""
    names = ["x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "images", "labels"]
    made = {}
    for name in draw(st.lists(st.sampled_from([*names, "class_names"]), unique=True, max_size=5)):
        size = draw(SHAPES)
        fill = draw(st.sampled_from([0, 1, 2, 200]))
        made[name] = np.full(size, fill).astype(draw(DTYPES | st.just("uint8")))
    return made


@given(arrays())
def test_an_npz_file_of_anything(tmp_path, content):
    np.savez(tmp_path / "set.npz", **content)
    try:
        source = open_source("npz", str(tmp_path / "set.npz"))
    except UserError as error:
        assert "\n" not in str(error) and "set.npz" in str(error)
        return
    for name in ("train", "validation", "test"):
        split = source.load(name)
        assert split.images.shape[1:] == source.image_shape and split.images.dtype == np.uint8
        assert split.labels is None or len(split.labels) == len(split.images)


@given(st.binary(max_size=200), st.integers(0, 2000), st.integers(0, 6))
def test_a_damaged_npz_file(tmp_path, new, place, cut):
    path = tmp_path / "set.npz"
    np.savez(path, x_train=np.zeros((8, 4, 4), np.uint8), y_train=np.arange(8))
    data = bytearray(path.read_bytes())
    data[place : place + cut] = new
    path.write_bytes(bytes(data))
    try:
        source = open_source("npz", str(path))
        for name in ("train", "validation", "test"):
            source.load(name)
    except UserError as error:
        assert "\n" not in str(error)
