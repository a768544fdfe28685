"""TensorProto to array and back, safe against whatever a client sends."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from serving.embedded.status import invalid

# A TensorProto may name a shape and give one value for all of it. That is how a request of 20
# bytes asks for gigabytes: beyond this size a tensor has to bring its values along.
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


def to_array(proto, alias: str) -> np.ndarray:
    """The array that a TensorProto of a known dtype holds.

    Raises:
        ServingError: INVALID_ARGUMENT for values and shape that do not fit together, negative
            or giant dimensions.
    """
    try:
        return _to_array(proto)
    except (ValueError, TypeError, OverflowError, MemoryError, tf.errors.OpError):
        raise invalid(f"tensor parsing error: {alias}") from None


def _to_array(proto) -> np.ndarray:
    dtype = tf.dtypes.as_dtype(proto.dtype)
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(shape)
    count = math.prod(shape)
    if count == 0:
        return np.empty(shape, dtype.as_numpy_dtype)
    if dtype == tf.string:
        if len(proto.string_val) == count:
            return np.array(proto.string_val, object).reshape(shape)
    elif proto.tensor_content:
        # frombuffer would take a longer buffer; reshape refuses it.
        return np.frombuffer(proto.tensor_content, dtype.as_numpy_dtype).reshape(shape)
    if count * dtype.size > max(_MAX_FILLED_BYTES, proto.ByteSize()):
        raise ValueError(shape)
    return np.asarray(tf.io.parse_tensor(proto.SerializeToString(), dtype).numpy())


def fill_proto(proto, array: np.ndarray, enum: int) -> None:
    """Writes an array of dtype `enum` into an empty TensorProto."""
    proto.dtype = enum
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if enum == tf.string.as_datatype_enum:
        proto.string_val.extend(array.ravel().tolist())
    else:
        proto.tensor_content = array.tobytes()
