"""Arrays and tensors on the wire: conversion, checks against a signature, sizes.

TensorFlow's make_tensor_proto and make_ndarray would do the conversion, but importing TensorFlow
takes 2 seconds and 1.4 GB on the disk; the client without it is imported in 0.3 seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import numpy as np

from serving.client import messages_pb2
from serving.client.errors import HaliClientError

# gRPC counts these bytes as part of a message beside the tensors' own: names, shapes, headers.
MESSAGE_OVERHEAD = 4096

# For each data type, the field of TensorProto that holds its values when `tensor_content` does not.
_DTYPES: dict[int, tuple[np.dtype, str]] = {
    messages_pb2.DT_FLOAT: (np.dtype(np.float32), "float_val"),
    messages_pb2.DT_DOUBLE: (np.dtype(np.float64), "double_val"),
    messages_pb2.DT_INT32: (np.dtype(np.int32), "int_val"),
    messages_pb2.DT_UINT8: (np.dtype(np.uint8), "int_val"),
    messages_pb2.DT_INT64: (np.dtype(np.int64), "int64_val"),
    messages_pb2.DT_BOOL: (np.dtype(np.bool_), "bool_val"),
}
_ENUMS: dict[np.dtype, int] = {dtype: number for number, (dtype, _) in _DTYPES.items()}


def to_tensor(array: np.ndarray) -> messages_pb2.TensorProto:
    """NumPy array of numbers -> TensorProto."""
    tensor = messages_pb2.TensorProto(
        dtype=messages_pb2.DataType.Name(_ENUMS[array.dtype]),
        tensor_content=np.ascontiguousarray(array).tobytes(),
    )
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def from_tensor(tensor: messages_pb2.TensorProto) -> np.ndarray:
    """TensorProto -> NumPy array; strings come as str.

    The stock server sends values as numbers (`int_val` and so on) unless it runs with
    --enable_serialization_as_tensor_content; then, and from the development server, as raw bytes.

    Raises:
      HaliClientError: INTERNAL for a data type that no export of hali_tf has.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    size = int(np.prod(shape, dtype=np.int64))
    if tensor.dtype == messages_pb2.DT_STRING:
        values = np.array([value.decode("utf-8", "replace") for value in tensor.string_val])
    elif tensor.dtype in _DTYPES:
        dtype, field = _DTYPES[tensor.dtype]
        if tensor.tensor_content:
            return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
        values = np.array(getattr(tensor, field), dtype)
    else:
        raise HaliClientError(
            f"the answer has a tensor of data type {tensor.dtype}, which no signature of hali_tf "
            "has",
            grpc.StatusCode.INTERNAL,
        )
    if 0 < len(values) < size:  # the last value stands for all that follow
        values = np.concatenate([values, np.repeat(values[-1:], size - len(values))])
    return values.reshape(shape)


def shape_of(info: messages_pb2.TensorInfo) -> list[int]:
    """Dimensions of a signature's tensor, -1 where unknown."""
    return [dim.size for dim in info.tensor_shape.dim]


def checked(signature: str, name: str, values: object, info: messages_pb2.TensorInfo) -> np.ndarray:
    """The batch as the signature takes it.

    Args:
      signature: its name, for the message.
      name: of its input.
      values: what the caller gave.
      info: TensorInfo of the input.

    Raises:
      HaliClientError: another type, shape or range; the message names both.
    """
    wanted, shape = _DTYPES[info.dtype][0], shape_of(info)
    expected = f"{wanted} [{', '.join(['B'] + [str(size) for size in shape[1:]])}]"
    try:
        array = np.asarray(values)
    except ValueError:
        raise HaliClientError(
            f"{signature}: {name} must be {expected}, got rows of different lengths"
        ) from None
    what = f"{signature}: {name} must be {expected}, got {array.dtype} {list(array.shape)}"
    if array.ndim and _fits(array.shape, shape[1:]):
        raise HaliClientError(f"{what}: a single example needs a batch axis, {name}[None]")
    if array.ndim != len(shape) or not _fits(array.shape[1:], shape[1:]):
        hint = ""
        if name == "images" and array.ndim == len(shape):
            hint = ": resize the images, or convert their channels, first"
        raise HaliClientError(what + hint)
    if not len(array):
        raise HaliClientError(f"{what}: the batch is empty")
    kinds = {"u": "u", "f": "f", "i": "iu"}[wanted.kind]
    if array.dtype.kind not in kinds or (wanted.kind == "u" and array.dtype != wanted):
        hint = ": grey levels 0 to 255, not scaled to [0, 1]" if name == "images" else ""
        raise HaliClientError(what + hint)
    if wanted.kind == "f":
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            array = array.astype(wanted, copy=False)
        if not np.isfinite(array).all():
            what = f"{signature}: {name} has values that are NaN or infinite as {wanted}"
            raise HaliClientError(what)
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise HaliClientError(f"{signature}: {name} has values above {np.iinfo(np.int64).max}")
    return array.astype(wanted, copy=False)


def _fits(sizes: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(sizes) == len(wanted) and all(w in (-1, s) for s, w in zip(sizes, wanted))


def rows_per_message(
    definition: messages_pb2.SignatureDef, batch: np.ndarray, max_message_bytes: int
) -> int:
    """Most examples of which both the request and the answer fit in a message.

    Raises:
      HaliClientError: not even one does.
    """
    answer = sum(_row_bytes(info) for info in definition.outputs.values())
    row = max(batch[:1].nbytes, answer)
    room = max_message_bytes - MESSAGE_OVERHEAD
    if row > room:
        raise HaliClientError(
            f"one example takes {row} bytes on the wire, max_message_bytes is "
            f"{max_message_bytes}: raise it to at least {row + MESSAGE_OVERHEAD}"
        )
    return room // row


def _row_bytes(info: messages_pb2.TensorInfo) -> int:
    """Largest size of one example of an output on the wire."""
    numbers = int(np.prod([max(size, 1) for size in shape_of(info)[1:]], dtype=np.int64))
    # Sent as numbers, uint8 takes up to 2 bytes. The length of a class's name is a guess.
    sizes = {messages_pb2.DT_UINT8: 2, messages_pb2.DT_FLOAT: 4, messages_pb2.DT_STRING: 64}
    return numbers * sizes.get(info.dtype, 10)
