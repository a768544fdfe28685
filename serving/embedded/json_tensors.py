"""JSON to tensors and back, worded as the stock server's json_tensor.cc."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import input_pb2

from serving.embedded import tensors
from serving.embedded.signatures import Tensor
from serving.embedded.status import ServingError, invalid

_INTEGERS = {"uint8", "int8", "int16", "int32", "int64", "uint32", "uint64"}
_FLOATS = {"float32", "float64"}
_NUMBERS = _INTEGERS | _FLOATS
_WRITTEN_AS_THEY_ARE = _INTEGERS | {"float64", "bool"}
_EXCERPT = 256  # characters
_TEXTS = 2**14  # numbers that are text at a time, at 128 bytes each

Arrays = dict[str, np.ndarray]
Infos = Mapping[str, Tensor]


def read_inputs(document: dict[str, Any], infos: Infos) -> tuple[bool, Arrays]:
    """The tensors of a predict request.

    Args:
      document: the JSON object.
      infos: the signature's inputs by alias.

    Returns:
      (whether they came by row, alias -> array).

    Raises:
      ServingError: INVALID_ARGUMENT, worded as json_tensor.cc.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {excerpt(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(
                f"JSON Value: {excerpt(document)} Expecting 'instances' to be an list/array"
            )
        if not instances:
            raise invalid(f"JSON Value: {excerpt(document)} No values in 'instances' array")
        return True, _read_rows(instances, infos)
    if "inputs" in document:
        return False, _read_columns(document["inputs"], infos)
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_rows(instances: list, infos: Infos) -> Arrays:
    with_names = _is_object(instances[0])
    if not with_names and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    for index, item in enumerate(instances):
        if with_names and not _is_object(item):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if not with_names and _is_object(item):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        if with_names and set(item) != set(infos):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{excerpt(item)} keys must be equal to: {','.join(sorted(infos))}"
            )
    arrays = {}
    for alias, info in infos.items():
        values = [item[alias] for item in instances] if with_names else instances
        try:
            arrays[alias] = _tensor(values, info.dtype)
        except ServingError as error:
            raise ServingError(
                error.code,
                f"Failed to process 'instances' list, key: {alias}. Error: {error.message}",
            ) from None
    return arrays


def _read_columns(value: Any, infos: Infos) -> Arrays:
    if not _is_object(value):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        value = dict.fromkeys(infos, value)
    for alias in infos:
        if alias not in value:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: _tensor(value[alias], info.dtype) for alias, info in infos.items()}


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _tensor(value: Any, enum: int) -> np.ndarray:
    """A nested list as an array of a signature's dtype."""
    dtype = tf.dtypes.as_dtype(enum)
    if dtype.name in _NUMBERS:
        array = _numbers(value, dtype)
        if array is not None:
            return array
    shape = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    leaves: list = []
    try:
        _collect(value, 0, shape, dtype, leaves)
        array = np.empty(len(leaves), object)
        array[:] = leaves
        return _cast(array, dtype).reshape(shape)
    except (OverflowError, ValueError, RecursionError) as error:
        raise invalid(f"tensor parsing error: {error}") from None


def _numbers(value: Any, dtype: tf.DType) -> np.ndarray | None:
    """The fast way, for lists that NumPy understands and that fit; None for all others."""
    try:
        if not _has_numbers_alone(value):
            return None
        array = np.array(value)
    except (ValueError, OverflowError, RecursionError):
        return None
    if array.size == 0:
        return array.astype(dtype.as_numpy_dtype)
    if array.dtype.kind not in ("iu" if dtype.is_integer else "iuf"):
        return None
    if dtype.is_integer and (array.min() < dtype.min or array.max() > dtype.max):
        return None
    return _cast(array, dtype)


def _has_numbers_alone(value: Any) -> bool:
    """NumPy would make every text as wide as the longest one, and take booleans for numbers."""
    level = value if isinstance(value, list) else [value]
    while (kinds := set(map(type, level))) == {list}:
        level = list(itertools.chain.from_iterable(level))
    return kinds <= {int, float}


def _cast(array: np.ndarray, dtype: tf.DType) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinity, which `Limits` refuses
        return array.astype(dtype.as_numpy_dtype)


def _collect(value: Any, level: int, shape: list[int], dtype: tf.DType, leaves: list) -> None:
    """Appends the values below `value` to `leaves`; raises where shape or type is wrong."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {excerpt(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for item in value:
        _collect(item, level + 1, shape, dtype, leaves)


def _leaf(value: Any, dtype: tf.DType) -> Any:
    """One JSON value of a tensor."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if dtype == tf.string:
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if isinstance(value, dict):
            return _decode_base64(value)
    elif dtype.name in _FLOATS:
        if is_number:
            return value
    elif dtype.name in _INTEGERS:
        if isinstance(value, int) and is_number and dtype.min <= value <= dtype.max:
            return value
    elif dtype == tf.bool:
        if isinstance(value, bool):
            return value
    else:
        raise ServingError(
            StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {excerpt(value)} to type: {dtype.name}",
        )
    kinds = {dict: "Object", str: "String", bool: str(value).capitalize(), type(None): "Null"}
    raise invalid(
        f"JSON Value: {excerpt(value)} Type: {kinds.get(type(value), 'Number')} is not of expected "
        f"type: {tensors.dtype_name(dtype.as_datatype_enum)}"
    )


def _decode_base64(value: Any) -> bytes:
    if not _is_base64(value):
        raise invalid(f"JSON Value: {excerpt(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError:
        raise invalid("Unable to base64 decode") from None


def excerpt(value: Any) -> str:
    """The beginning of a JSON value, for messages."""
    pieces = json.JSONEncoder().iterencode(value)  # a document may have millions of numbers
    return "".join(itertools.islice(pieces, _EXCERPT))[:_EXCERPT]


def write_outputs(outputs: Arrays, by_row: bool) -> dict[str, Any]:
    """The JSON object for the outputs of a predict request.

    Args:
      outputs: alias -> array.
      by_row: `predictions`, a list over rows; else `outputs`, a list for each output.

    Raises:
      ServingError: INVALID_ARGUMENT, an output that JSON has no form for.
    """
    if not by_row:
        columns = {alias: _values(alias, array) for alias, array in outputs.items()}
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    rows = None
    for alias, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {alias} has no shape information ")
        if rows not in (None, len(array)):
            raise invalid(
                f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {rows}"
            )
        rows = len(array)
    columns = {alias: _values(alias, array) for alias, array in outputs.items()}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    return {"predictions": [dict(zip(columns, row)) for row in zip(*columns.values())]}


def _values(alias: str, array: np.ndarray) -> list:
    """Nested lists of what JSON can say."""
    if array.dtype == object:
        leaves = np.empty(array.size, object)
        leaves[:] = [_text(alias, item) for item in array.ravel()]
        return leaves.reshape(array.shape).tolist()
    if array.dtype == np.float32:
        # Through the shortest text that gives the same float32: 0.1, not 0.10000000149011612.
        flat, numbers = array.ravel(), np.empty(array.size)
        for begin in range(0, array.size, _TEXTS):
            part = slice(begin, begin + _TEXTS)
            numbers[part] = flat[part].astype(str).astype(np.float64)
        return numbers.reshape(array.shape).tolist()
    if array.dtype.name in _WRITTEN_AS_THEY_ARE:
        return array.tolist()
    raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")


def _text(alias: str, value: bytes) -> Any:
    if alias.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "replace")


def shortest(score: float) -> float:
    """The number with the fewest digits that is the same float32."""
    return float(str(np.float32(score)))


def fill_examples(message: input_pb2.Input, document: dict[str, Any]) -> None:
    """Writes the examples of a classify request into an Input message."""
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {excerpt(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(
            f"JSON Value: {excerpt(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise invalid(f"JSON Value: {excerpt(document)} 'examples' value is an empty array")
    target = message.example_list
    if "context" in document:
        target = message.example_list_with_context
        _fill_example(target.context, document["context"])
    for example in examples:
        _fill_example(target.examples.add(), example)


def _fill_example(example: example_pb2.Example, value: Any) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type(value).__name__}")
    for name, content in value.items():
        items = content if isinstance(content, list) else [content]
        try:
            _fill_feature(example.features.feature[name], items)
        except (TypeError, ValueError):
            raise invalid(
                f"Feature: {name} has element with unexpected JSON type: {excerpt(content)}"
            ) from None


def _fill_feature(feature: feature_pb2.Feature, items: list) -> None:
    """One kind of value a feature: strings and base64, floats, or whole numbers and booleans."""
    if all(isinstance(item, str) or _is_base64(item) for item in items):
        feature.bytes_list.value.extend(
            item.encode() if isinstance(item, str) else _decode_base64(item) for item in items
        )
    elif all(isinstance(item, float) for item in items):
        feature.float_list.value.extend(items)
    elif all(isinstance(item, int) for item in items):
        feature.int64_list.value.extend(items)
    else:
        raise TypeError(items)
