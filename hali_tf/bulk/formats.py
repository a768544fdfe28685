"""Arrays with a row for each example, in one file: npz, TFRecord or Parquet.

An array is of numbers, [N, ...], or of text, [N]. In a TFRecord file each row is a
`tf.train.Example`, whose features are bytes (uint8, text), int64 or float lists; in a Parquet file
each array is a column, of fixed-shape tensors where it has more axes than the first.
"""

from __future__ import annotations

import functools
import types
from typing import Any, NamedTuple

import numpy as np

from hali_tf.errors import UsageError, UserError, in_one_line, writing
from hali_tf.files import opened, replacing, scheme, write_npz


class Array(NamedTuple):
    """What an array holds: its dtype ("float32", "int64", "uint8" or "str") and a row's shape."""

    dtype: str
    shape: tuple[int, ...] = ()


Layout = dict[str, Array]


def write(path: str, arrays: dict[str, np.ndarray], kind: str) -> None:
    """Writes a file, whole or not at all; equal arrays give equal bytes.

    Args:
      path: of the file; replaced if it is there.
      arrays: by name, all of N rows: float32, int64 or uint8 [N, ...], or text [N].
      kind: one of `KINDS`.

    Raises:
      UserError: it cannot be written.
    """
    try:
        with writing(path), replacing(path) as partial:
            _WRITERS[kind](partial, arrays)
    except UnicodeEncodeError as error:  # of a picture's name that is no text
        raise UserError(
            f"{path}: cannot be written: {error.object!a} is not UTF-8; rename the file, or choose "
            "npz"
        ) from error


def read(path: str, layout: Layout, rows: int, kind: str) -> dict[str, np.ndarray]:
    """Reads a file that `write` wrote.

    Args:
      path: of the file.
      layout: what the arrays are, by name.
      rows: N.
      kind: one of `KINDS`.

    Raises:
      UserError: the file is missing, damaged, or holds something else.
    """
    try:
        arrays = _READERS[kind](path, layout, rows)
        for name, (dtype, shape) in layout.items():
            array = arrays[name]
            is_kind = array.dtype.kind == "U" if dtype == "str" else array.dtype == dtype
            if not is_kind or array.shape != (rows, *shape):
                raise ValueError(f"{name}: expected {dtype} {[rows, *shape]}")
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found") from error
    # The readers let many kinds of error out on damaged files.
    except Exception as error:
        raise UserError(f"{path}: damaged ({in_one_line(error)})") from error
    return arrays


def check_importable(kind: str) -> None:
    """Raises UsageError if what a format needs is not installed."""
    if kind == "parquet":
        _pyarrow()


def _pyarrow() -> types.ModuleType:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            f"Parquet files need pyarrow ({error}); install it with pip install '.[parquet]', or "
            "choose npz or tfrecord"
        ) from error
    return pyarrow


def _write_npz(path, arrays):
    with open(path, "wb") as file:
        write_npz(file, arrays)


def _read_npz(path, layout, rows):
    with opened(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in layout}


def _write_tfrecord(path, arrays):
    import tensorflow as tf

    columns = [_entries(name.encode(), array) for name, array in arrays.items()]
    try:
        with tf.io.TFRecordWriter(path) as writer:
            for row in zip(*columns):
                writer.write(b"".join([_head(1, sum(map(len, row))), *row]))
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def _entries(name, array):
    """Yields of each row its entry in the map of `tf.train.Features`, serialised.

    `tf.train.Example` would copy every number several times; this takes a quarter of the time.
    """
    # The field of `tf.train.Feature`: a list of bytes, of float32, or of int64.
    field = 2 if array.dtype == np.float32 else 3 if array.dtype == np.int64 else 1
    if field == 3:
        rows = array.reshape(len(array), -1).tolist()
        values = (b"".join([_varint(number % 2**64) for number in row]) for row in rows)
    elif array.dtype.kind == "U":
        values = (text.encode() for text in array.tolist())
    else:
        values = _bytes_of_rows(array)
    return (_heads(name, field, len(value)) + value for value in values)


def _bytes_of_rows(array):
    """Yields the bytes of each row, as slices of one copy; a copy of each row would take longer."""
    whole, width = array.tobytes(), array[:1].nbytes
    return (whole[row * width : (row + 1) * width] for row in range(len(array)))


@functools.lru_cache(maxsize=256)
def _heads(name, field, length):
    """What stands before the values of an entry."""
    heads = b""
    for number in (1, field, 2):  # the values, their list, the feature
        heads = _head(number, len(heads) + length) + heads
    heads = _head(1, len(name)) + name + heads
    return _head(1, len(heads) + length) + heads


@functools.lru_cache(maxsize=256)
def _head(number, length):
    """What stands before the bytes of a field of a message."""
    return bytes([number << 3 | 2]) + _varint(length)


def _varint(value):
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def _read_tfrecord(path, layout, rows):
    import tensorflow as tf

    text = {"str", "uint8"}
    features = {
        name: tf.io.FixedLenFeature(*([], tf.string) if dtype in text else (shape, dtype))
        for name, (dtype, shape) in layout.items()
    }
    try:
        examples = tf.data.TFRecordDataset(path).batch(rows)
        parsed = tf.io.parse_example(examples.get_single_element(), features)
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(path) from error
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(getattr(error, "message", error)) from error
    arrays = {name: value.numpy() for name, value in parsed.items()}
    for name, (dtype, shape) in layout.items():
        if dtype == "str":
            arrays[name] = np.array([value.decode() for value in arrays[name]])
        elif dtype == "uint8":
            arrays[name] = np.frombuffer(b"".join(arrays[name]), np.uint8).reshape(-1, *shape)
    return arrays


def _write_parquet(path, arrays):
    pyarrow = _pyarrow()
    columns = {name: _column(pyarrow, array) for name, array in arrays.items()}
    settings = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, write_page_checksum=True, **settings)


def _column(pyarrow: types.ModuleType, array: np.ndarray) -> Any:
    if array.dtype.kind == "U":
        return pyarrow.array(array.tolist())
    if array.ndim == 1:
        return pyarrow.array(array)
    return pyarrow.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array))


def _read_parquet(path, layout, rows):
    pyarrow, source = _pyarrow(), path
    if scheme(path):
        with opened(path, "rb") as file:
            source = pyarrow.BufferReader(file.read())
    table = pyarrow.parquet.read_table(
        source, columns=list(layout), page_checksum_verification=True
    )
    arrays = {}
    for name, (dtype, shape) in layout.items():
        column = table[name].combine_chunks()
        if dtype == "str":
            arrays[name] = np.array(column.to_pylist())
        elif shape:
            arrays[name] = column.storage.flatten().to_numpy().reshape(len(table), *shape)
        else:
            arrays[name] = column.to_numpy()
    return arrays


_WRITERS = {"npz": _write_npz, "tfrecord": _write_tfrecord, "parquet": _write_parquet}
_READERS = {"npz": _read_npz, "tfrecord": _read_tfrecord, "parquet": _read_parquet}
KINDS = tuple(_WRITERS)
