"""The REST API: JSON requests and answers as the stock server's, and the metrics page."""

from __future__ import annotations

import base64
import binascii
import inspect
import json
import logging
import re
import time
from concurrent import futures

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from grpc import StatusCode
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from serving.embedded import inference, tensors
from serving.embedded.status import HTTP, ServingError, as_serving_error, invalid

_log = logging.getLogger("serving.rest")

METRICS_PATH = "/monitoring/prometheus/metrics"

_MODEL = (
    r"(?i:/v1/models)/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
_POST = re.compile(_MODEL + r":(?P<method>(?i:predict|classify|regress))")
_GET = re.compile(_MODEL + r"(?P<metadata>/metadata)?")

_INTEGERS = {"uint8", "int8", "int16", "int32", "int64", "uint32", "uint64"}
_FLOATS = {"float32", "float64"}


class RestApp:
    """A WSGI application."""

    def __init__(self, core, metrics, timeout_seconds=30.0, metrics_path=METRICS_PATH):
        """Args:
        core: answers.
        metrics: counts, and has the page.
        timeout_seconds: for a request; no limit where 0.
        metrics_path: where the page is; empty: nowhere.
        """
        self._core = core
        self._metrics = metrics
        self._timeout = timeout_seconds or None
        self._metrics_path = metrics_path

    def __call__(self, environ, start_response):
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request) -> Response:
        if request.path == self._metrics_path and request.method == "GET":
            return Response(self._metrics.page(), mimetype="text/plain")
        if not request.path.lower().startswith("/v1/"):
            return Response("", status=404)
        try:
            body = self._dispatch(request)
            return Response(body, mimetype="application/json")
        except HTTPException as error:  # the body did not arrive as announced
            return error.get_response()
        except Exception as error:
            failure = as_serving_error(error)
            if failure.code == StatusCode.INTERNAL and failure is not error:
                _log.error("request failed: %s", failure.message, exc_info=error)
            body = json.dumps({"error": failure.message})
            status = HTTP.get(failure.code, 500)
            return Response(body, status=status, mimetype="application/json")

    def _dispatch(self, request) -> str:
        """The JSON text of the answer."""
        pattern = {"POST": _POST, "GET": _GET}.get(request.method)
        match = pattern.fullmatch(request.path) if pattern else None
        if not match:
            raise invalid(f"Malformed request: {request.method} {request.path}")
        if request.method == "GET":
            if match["metadata"]:
                return self._metadata(match)
            return self._status(match)
        method = match["method"].lower()
        if method == "regress":
            raise ServingError(StatusCode.UNIMPLEMENTED, "regress is not implemented")
        return self._infer(method, match, request.get_data())

    def _status(self, match) -> str:
        message = get_model_status_pb2.GetModelStatusRequest()
        _fill_spec(message.model_spec, match)
        return _message_json(self._core.status(message))

    def _metadata(self, match) -> str:
        message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill_spec(message.model_spec, match)
        response = self._core.metadata(message)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return (
            f'{{"model_spec": {_message_json(response.model_spec)}, '
            f'"metadata": {{"signature_def": {_message_json(signatures)}}}}}'
        )

    def _infer(self, method, match, body) -> str:
        started = time.perf_counter()
        status = StatusCode.OK
        api = {"predict": "Predict", "classify": "Classify"}[method]
        kind = {
            "predict": predict_pb2.PredictRequest,
            "classify": classification_pb2.ClassificationRequest,
        }[method]
        message = kind()
        try:
            _fill_spec(message.model_spec, match)
            document = _parse(body)
            _fill_signature_name(message.model_spec, document)
            if method == "predict":
                return self._predict(message, document)
            return self._classify(message, document)
        except Exception as error:
            status = as_serving_error(error).code
            raise
        finally:
            model, signature = self._core.known_names(message.model_spec)
            seconds = time.perf_counter() - started
            self._metrics.record(model, signature, api, "REST", status.name, seconds)

    def _predict(self, message, document) -> str:
        key = message.model_spec.signature_name or inference.DEFAULT_SIGNATURE
        with self._core.lease(message) as servable:
            signature = servable.signatures.get(key)
            if signature is None:
                raise invalid(f'Serving signature name: "{key}" not found in signature def')
            by_row, arrays = read_inputs(document, signature.inputs)
            feeds = {signature.inputs[alias].name: array for alias, array in arrays.items()}
            aliases = sorted(signature.outputs)
            call = inference.predict_arrays(servable, signature, feeds, aliases)
        outputs = call.finish(self._wait(call.future))
        return json.dumps(write_outputs(outputs, by_row))

    def _classify(self, message, document) -> str:
        _fill_examples(message.input, document)
        call = self._core.classify(message)
        result = call.finish(self._wait(call.future)).result
        if not result.classifications:
            raise invalid("Cannot convert empty ClassificationResults to JSON")
        rows = [
            [[entry.label, _shortest(entry.score)] for entry in row.classes]
            for row in result.classifications
        ]
        return json.dumps({"results": rows})

    def _wait(self, future):
        try:
            return future.result(self._timeout)
        except futures.TimeoutError:
            future.cancel()
            message = f"not answered within {self._timeout:g} s"
            raise ServingError(StatusCode.DEADLINE_EXCEEDED, message) from None


def _fill_spec(spec, match) -> None:
    spec.name = match["model"]
    if match["version"]:
        version = int(match["version"])
        if version >= 1 << 63:
            raise invalid(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = version
    if match["label"]:
        spec.version_label = match["label"]


def _message_json(message) -> str:
    # One option, two names: it was renamed in protobuf 5.
    parameters = inspect.signature(json_format.MessageToJson).parameters
    with_defaults = "including_default_value_fields"
    if with_defaults not in parameters:
        with_defaults = "always_print_fields_with_no_presence"
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, **{with_defaults: True}
    )


# Requests.


def _parse(body) -> dict:
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_debug(document)} Is not object")
    return document


def _fill_signature_name(spec, document) -> None:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_debug(document)} not formatted correctly. 'signature_name' key must "
            "be a string value."
        )
    try:
        spec.signature_name = name
    except ValueError:  # a lone surrogate
        raise invalid("JSON Parse error: 'signature_name' is not valid Unicode") from None


def read_inputs(document, infos) -> tuple:
    """The tensors of a predict request.

    Args:
        document: the JSON object.
        infos: alias -> TensorInfo, the signature's inputs.

    Returns:
        (whether they came by row, alias -> array).

    Raises:
        ServingError: INVALID_ARGUMENT, worded as json_tensor.cc.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {_debug(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(
                f"JSON Value: {_debug(document)} Expecting 'instances' to be an list/array"
            )
        if not instances:
            raise invalid(f"JSON Value: {_debug(document)} No values in 'instances' array")
        return True, _read_rows(instances, infos)
    if "inputs" in document:
        return False, _read_columns(document["inputs"], infos)
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_rows(instances, infos) -> dict:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    with_names = _is_object(instances[0])
    for index, item in enumerate(instances):
        if with_names and not _is_object(item):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if not with_names and _is_object(item):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        if with_names and set(item) != set(infos):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{_debug(item)} keys must be equal to: {','.join(sorted(infos))}"
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


def _read_columns(value, infos) -> dict:
    if not _is_object(value):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        return {alias: _tensor(value, info.dtype) for alias, info in infos.items()}
    for alias in infos:
        if alias not in value:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: _tensor(value[alias], info.dtype) for alias, info in infos.items()}


def _is_base64(value) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _is_object(value) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _tensor(value, enum) -> np.ndarray:
    """A nested list as an array of a signature's dtype."""
    dtype = tf.dtypes.as_dtype(enum)
    if dtype.name in _INTEGERS | _FLOATS:
        array = _numbers(value, dtype)
        if array is not None:
            return array
    shape = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    leaves = []
    _collect(value, 0, shape, dtype, leaves)
    array = np.empty(len(leaves), object)
    array[:] = leaves
    try:
        return array.astype(dtype.as_numpy_dtype).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise invalid(f"tensor parsing error: {error}") from None


def _numbers(value, dtype) -> np.ndarray | None:
    """The fast way, for lists that NumPy understands and that fit; None for all others."""
    try:
        array = np.array(value)
    except (ValueError, OverflowError, RecursionError):
        return None
    if array.size == 0:
        return array.astype(dtype.as_numpy_dtype)
    if array.dtype.kind not in ("iu" if dtype.is_integer else "iuf"):
        return None
    if dtype.is_integer and (array.min() < dtype.min or array.max() > dtype.max):
        return None
    return array.astype(dtype.as_numpy_dtype)


def _collect(value, level, shape, dtype, leaves) -> None:
    """Appends the values below `value` to `leaves`; raises where shape or type is wrong."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_debug(value)} found at incorrect level: {level + 1} in the JSON "
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


def _leaf(value, dtype):
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
            f"Conversion of JSON Value: {_debug(value)} to type: {dtype.name}",
        )
    kinds = {dict: "Object", str: "String", bool: str(value).capitalize(), type(None): "Null"}
    raise invalid(
        f"JSON Value: {_debug(value)} Type: {kinds.get(type(value), 'Number')} is not of expected "
        f"type: {tensors.dtype_name(dtype.as_datatype_enum)}"
    )


def _decode_base64(value) -> bytes:
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_debug(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _fill_examples(message, document) -> None:
    """Writes the examples of a classify request into an Input message."""
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {_debug(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(
            f"JSON Value: {_debug(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise invalid(f"JSON Value: {_debug(document)} 'examples' value is an empty array")
    target = message.example_list
    if "context" in document:
        target = message.example_list_with_context
        _fill_example(target.context, document["context"])
    for example in examples:
        _fill_example(target.examples.add(), example)


def _fill_example(example, value) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type(value).__name__}")
    for name, content in value.items():
        items = content if isinstance(content, list) else [content]
        feature = example.features.feature[name]
        try:
            _fill_feature(feature, items)
        except (TypeError, ValueError, binascii.Error):
            raise invalid(
                f"Feature: {name} has element with unexpected JSON type: {_debug(content)}"
            ) from None


def _fill_feature(feature, items) -> None:
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


def _debug(value) -> str:
    return json.dumps(value)[:256]


# Answers.


def write_outputs(outputs, by_row) -> dict:
    """The JSON object for the outputs of a predict request.

    Args:
        outputs: alias -> array.
        by_row: `predictions`, a list over rows; else `outputs`, a list an output.

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


def _values(alias, array):
    """Nested lists of what JSON can say."""
    if array.dtype == object:
        leaves = np.empty(array.size, object)
        leaves[:] = [_text(alias, item) for item in array.ravel()]
        return leaves.reshape(array.shape).tolist()
    if array.dtype == np.float32:
        # Through the shortest text that gives the same float32: 0.1, not 0.10000000149011612.
        return array.astype(str).astype(np.float64).tolist()
    if array.dtype.name in _INTEGERS | {"float64", "bool"}:
        return array.tolist()
    raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")


def _text(alias, value):
    if alias.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "replace")


def _shortest(score) -> float:
    return float(str(np.float32(score)))
