"""What is written is read back to the bit, by the reader and by the formats' own libraries."""

import builtins
import os

import numpy as np
import pytest

from hali_tf.bulk import formats
from hali_tf.errors import UsageError, UserError

RNG = np.random.default_rng(0)
ARRAYS = {
    "path": np.array(["a.png", "straße/ß.jpg", ""]),
    "index": np.array([0, 2**40, -1]),
    "label": RNG.integers(0, 2, (3, 5), dtype=np.uint8),
    "z_1": RNG.standard_normal((3, 4, 4, 9), np.float32),
    "z_2": np.array([[np.nan], [np.inf], [1e-45]], np.float32),
}
LAYOUT = {
    "path": formats.Array("str"),
    "index": formats.Array("int64"),
    "label": formats.Array("uint8", (5,)),
    "z_1": formats.Array("float32", (4, 4, 9)),
    "z_2": formats.Array("float32", (1,)),
}


@pytest.fixture(params=formats.KINDS)
def kind(request):
    try:
        formats.check_importable(request.param)
    except UsageError as error:
        pytest.skip(str(error))
    return request.param


def test_read_gives_what_was_written(tmp_path, kind):
    path = str(tmp_path / "file")
    formats.write(path, ARRAYS, kind)
    read = formats.read(path, LAYOUT, 3, kind)
    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    first = (tmp_path / "file").read_bytes()
    formats.write(path, ARRAYS, kind)
    assert (tmp_path / "file").read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_tfrecords_are_examples(tmp_path):
    import tensorflow as tf

    path = str(tmp_path / "file")
    formats.write(path, ARRAYS, "tfrecord")
    for row, record in enumerate(tf.data.TFRecordDataset(path)):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        assert feature["path"].bytes_list.value[0].decode() == ARRAYS["path"][row]
        assert feature["index"].int64_list.value == [ARRAYS["index"][row]]
        assert feature["label"].bytes_list.value[0] == ARRAYS["label"][row].tobytes()
        np.testing.assert_array_equal(feature["z_1"].float_list.value, ARRAYS["z_1"][row].ravel())
    assert row == 2


def test_parquet_has_a_column_for_each_array(tmp_path):
    try:
        formats.check_importable("parquet")
    except UsageError as error:
        pytest.skip(str(error))
    import pyarrow.parquet

    formats.write(str(tmp_path / "file"), ARRAYS, "parquet")
    table = pyarrow.parquet.read_table(tmp_path / "file")
    assert table.column_names == list(ARRAYS)
    assert table["path"].to_pylist() == ARRAYS["path"].tolist()
    assert table["z_1"].type.shape == [4, 4, 9]


def test_any_changed_byte_is_damage_or_of_no_array(tmp_path, kind):
    """The heads of the files, where readers raise errors of many kinds."""
    path = tmp_path / "file"
    formats.write(str(path), ARRAYS, kind)
    whole = path.read_bytes()
    for place in [
        *range(0, min(400, len(whole)), 3),
        *range(max(0, len(whole) - 900), len(whole), 7),
    ]:
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        try:
            read = formats.read(str(path), LAYOUT, 3, kind)
        except UserError as error:
            assert str(error).startswith(f"{path}: damaged (") and "\n" not in str(error)
        else:  # a byte that is of no array
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_a_file_that_was_cut_is_damaged(tmp_path, kind, kept):
    path = tmp_path / "file"
    formats.write(str(path), ARRAYS, kind)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(UserError, match="damaged"):
        formats.read(str(path), LAYOUT, 3, kind)


@pytest.mark.parametrize(
    "rows, layout",
    [
        (2, LAYOUT),
        (4, LAYOUT),
        (3, {"z_3": formats.Array("float32", (1,))}),
        (3, {"z_1": formats.Array("float32", (4, 4, 8))}),
    ],
)
def test_a_file_of_other_arrays_is_no_answer(tmp_path, kind, rows, layout):
    formats.write(str(tmp_path / "file"), ARRAYS, kind)
    with pytest.raises(UserError, match="damaged"):
        formats.read(str(tmp_path / "file"), layout, rows, kind)


def test_missing_file(tmp_path, kind):
    with pytest.raises(UserError, match="not found"):
        formats.read(str(tmp_path / "file"), LAYOUT, 3, kind)


def test_folder_that_cannot_be_written(tmp_path, kind):
    with pytest.raises(UserError, match="cannot be written"):
        formats.write(str(tmp_path / "none" / "file"), ARRAYS, kind)


def test_a_name_that_is_no_text(tmp_path, kind):
    path, name = str(tmp_path / "file"), "\udcff.jpg"  # as Python has the file b"\xff.jpg"
    if kind == "npz":
        formats.write(path, {"path": np.array([name])}, kind)
        assert formats.read(path, {"path": formats.Array("str")}, 1, kind)["path"][0] == name
        return
    with pytest.raises(
        UserError, match=r"'\\udcff.jpg' is not UTF-8; rename the file, or choose npz"
    ):
        formats.write(path, {"path": np.array([name])}, kind)
    assert os.listdir(tmp_path) == []


def test_parquet_without_pyarrow_is_a_flag_that_cannot_work(monkeypatch):
    own = builtins.__import__

    def without(name, *arguments, **settings):
        if name.startswith("pyarrow"):
            raise ImportError("No module named 'pyarrow'")
        return own(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    formats.check_importable("npz")
    with pytest.raises(UsageError, match=r"need pyarrow.*pip install '.\[parquet\]'"):
        formats.check_importable("parquet")
