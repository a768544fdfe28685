"""TensorProto to array and back, safe against whatever a client sends."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving.embedded.status import invalid

# A TensorProto may name a shape and give one value for all of it. That is how a request of 20
# bytes asks for gigabytes: beyond this a tensor has to bring its values along.
_MAX_FILLED_BYTES = 64 << 20

_OTHER_NAMES = {"float32": "float", "float64": "double", "float16": "half"}


def dtype_name(enum: int) -> str:
    """The name of a DataType in the server's messages: `float`, `uint8`, ..."""
    name = tf.dtypes.as_dtype(enum).name
    return _OTHER_NAMES.get(name, name)


def check_dtype(sent: int, expected: int, position: int, alias: str) -> None:
    """Nothing is cast: the dtype sent must be the signature's.

    Raises:
      ServingError: INVALID_ARGUMENT, as the stock server's session says it.
    """
    if sent == expected:
        return
    try:
        name = dtype_name(sent)
    except TypeError:
        name = "invalid"
    if name == "invalid" or name.endswith("_ref"):
        raise invalid(f"tensor parsing error: {alias}")
    raise invalid(f"Expects arg[{position}] to be {dtype_name(expected)} but {name} is provided")


def to_array(proto: tensor_pb2.TensorProto, alias: str) -> np.ndarray:
    """The array that a TensorProto of a known dtype holds.

    Raises:
      ServingError: INVALID_ARGUMENT for values and shape that do not fit together, negative
        or giant dimensions.
    """
    shape = [dim.size for dim in proto.tensor_shape.dim]
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype)
        if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
            raise ValueError(shape)
        if 0 in shape:
            return np.empty(shape, dtype.as_numpy_dtype)
        if proto.tensor_content and dtype.size:  # as clients send it; `make_ndarray` would copy
            return np.frombuffer(proto.tensor_content, dtype.as_numpy_dtype).reshape(shape)
        size = math.prod(shape) * (dtype.size or 8)  # strings: of a pointer
        if proto.string_val:  # the last one stands for all that are missing
            missing = math.prod(shape) - len(proto.string_val)
            size += max(0, missing) * len(proto.string_val[-1])
        if size > _MAX_FILLED_BYTES and size > proto.ByteSize():
            raise ValueError(shape)
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError, MemoryError):
        raise invalid(f"tensor parsing error: {alias}") from None


def fill_proto(proto: tensor_pb2.TensorProto, array: np.ndarray, enum: int) -> None:
    """Writes an array of the DataType `enum` into an empty TensorProto.

    `tf.make_tensor_proto` takes three times as long.
    """
    proto.dtype = enum
    add = proto.tensor_shape.dim.add
    for size in array.shape:
        add().size = size
    if array.dtype == object:
        proto.string_val.extend(array.ravel().tolist())
    else:
        proto.tensor_content = array.tobytes()
