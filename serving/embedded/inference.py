"""What a servable answers: Predict, Classify, and the warm-up requests of a version."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from serving.embedded import tensors
from serving.embedded.limits import TooLarge
from serving.embedded.servable import Servable
from serving.embedded.signatures import Signature
from serving.embedded.status import ServingError, invalid

DEFAULT_SIGNATURE = "serving_default"
_WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MAX_WARMUP_RECORDS = 1000


def signature_key(spec: model_pb2.ModelSpec) -> str:
    """The name of the signature that a request means."""
    return spec.signature_name or DEFAULT_SIGNATURE


def predict(servable: Servable, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    """Answers a PredictRequest.

    Raises:
      ServingError: as the stock server's predict_util.cc.
    """
    key = signature_key(request.model_spec)
    signature = servable.signatures.get(key)
    if signature is None:
        raise ServingError(
            StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.'
        )
    arrays = _inputs(signature, request.inputs)
    aliases = _output_aliases(signature, request.output_filter)
    response = predict_pb2.PredictResponse()
    for alias, array in predict_arrays(servable, signature, arrays, aliases).items():
        tensors.fill_proto(response.outputs[alias], array, signature.outputs[alias].dtype)
    _fill_spec(response.model_spec, servable, key)
    return response


def _fill_spec(spec: model_pb2.ModelSpec, servable: Servable, key: str) -> None:
    spec.name, spec.signature_name = servable.name, key
    spec.version.value = servable.version


def predict_arrays(
    servable: Servable,
    signature: Signature,
    arrays: dict[str, np.ndarray],
    aliases: list[str],
) -> dict[str, np.ndarray]:
    """The outputs wanted, by alias.

    Args:
      servable: answers.
      signature: one of its own.
      arrays: alias -> array of the input's dtype.
      aliases: outputs wanted.

    Raises:
      ServingError: the request cannot be run.
    """
    servable.limits.check(arrays, [signature.outputs[alias] for alias in aliases])
    feeds = {signature.inputs[alias].name: array for alias, array in arrays.items()}
    names = [signature.outputs[alias].name for alias in aliases]
    # In one order whatever the caller's, so that the same tensors share a queue.
    fetches = tuple(sorted(set(names)))
    by_name = dict(zip(fetches, servable.run(feeds, fetches)))
    return {alias: by_name[name] for alias, name in zip(aliases, names)}


def _inputs(
    signature: Signature, inputs: Mapping[str, tensor_pb2.TensorProto]
) -> dict[str, np.ndarray]:
    """Alias -> array for exactly the inputs of a signature."""
    if len(inputs) != len(signature.inputs):
        wanted, sent = set(signature.inputs), set(inputs)
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_listing(sent)}) != len({_listing(wanted)}). "
            f"Sent extra: {_listing(sent - wanted)}. "
            f"Missing but required: {_listing(wanted - sent)}."
        )
    arrays = {}
    for position, (alias, info) in enumerate(signature.inputs.items()):
        if alias not in inputs:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request "
                f"and no default value provided. Inputs expected to be in the request "
                f"{_listing(inputs)}, or default input alias set: "
            )
        proto = inputs[alias]
        tensors.check_dtype(proto.dtype, info.dtype, position, alias)
        arrays[alias] = tensors.to_array(proto, alias)
    return arrays


def _output_aliases(signature: Signature, output_filter: Iterable[str]) -> list[str]:
    """The outputs that a request wants: those it names, or all."""
    seen: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {_listing(signature.outputs)}."
            )
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return seen or sorted(signature.outputs)


def _listing(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def classify(
    servable: Servable, request: classification_pb2.ClassificationRequest
) -> classification_pb2.ClassificationResponse:
    """Answers a ClassificationRequest.

    Raises:
      ServingError: as the stock server's classifier.cc.
    """
    key = signature_key(request.model_spec)
    signature = servable.signatures.get(key)
    if signature is None:
        raise invalid(f"No signature was found with the name: {key}")
    aliases = _classify_outputs(signature)
    examples = serialized_examples(request.input, servable.limits.max_message_bytes)
    outputs = predict_arrays(servable, signature, {"inputs": examples}, aliases)
    response = classification_pb2.ClassificationResponse()
    _fill_classifications(response.result, outputs, len(examples))
    _fill_spec(response.model_spec, servable, key)
    return response


def _classify_outputs(signature: Signature) -> list[str]:
    """The structure that Classify needs; method names are not checked."""
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature.text}")
    aliases: list[str] = [alias for alias in ("classes", "scores") if alias in signature.outputs]
    if not aliases:
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"classes" or "scores". Signature was: {signature.text}'
        )
    if signature.inputs["inputs"].dtype != tf.string.as_datatype_enum:
        name = tensors.dtype_name(signature.inputs["inputs"].dtype)
        raise invalid(f"Expects arg[0] to be {name} but string is provided")
    return aliases


def serialized_examples(message: input_pb2.Input, max_bytes: int) -> np.ndarray:
    """The examples of an Input message as serialized tf.Examples, object [B].

    Raises:
      ServingError: INVALID_ARGUMENT for none, or where the context, which each example gets,
        makes more than `max_bytes` of them.
    """
    kind = message.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        # Parsing two messages laid end to end merges them: the example adds to the context.
        context = message.example_list_with_context.context.SerializeToString()
    examples = getattr(message, kind).examples if kind else ()
    if not examples:
        raise invalid("Input is empty.")
    size = len(context) * len(examples)
    if size > max_bytes:
        raise invalid(
            f"the context in each of {len(examples)} examples would make {size} bytes, and a "
            f"message may have {max_bytes}; send fewer examples or a smaller context"
        )
    return np.array([context + example.SerializeToString() for example in examples], object)


def _fill_classifications(
    result: classification_pb2.ClassificationResult, outputs: dict[str, np.ndarray], rows: int
) -> None:
    """Writes classes and scores, [B, K] each, into a ClassificationResult."""
    for alias, kind, name in (("classes", "O", "DT_STRING"), ("scores", "f", "DT_FLOAT")):
        array = outputs.get(alias)
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"[{','.join(map(str, array.shape))}]"
            )
        if array.dtype.kind != kind:
            raise invalid(f"Expected {alias} Tensor of {name}. Got: {array.dtype}")
        if len(array) != rows:
            raise invalid(f"Expected {alias} output batch size of {rows}. Got: {len(array)}")
    widths = [array.shape[1] for array in outputs.values()]
    if len(set(widths)) > 1:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}"
        )
    classes = outputs["classes"].tolist() if "classes" in outputs else None
    scores = outputs["scores"].tolist() if "scores" in outputs else None
    for row in range(rows):
        add_class = result.classifications.add().classes.add
        for column in range(widths[0]):
            entry = add_class()
            if classes:
                entry.label = classes[row][column].decode("utf-8", "replace")
            if scores:
                entry.score = scores[row][column]


def warm_up(servable: Servable, path: str) -> int:
    """Replays the warm-up requests that came with a version, as far as the limits allow them.

    Args:
      servable: loaded from `path`, not serving yet.
      path: folder of the version.

    Returns:
      Number of requests replayed; 0 where there is no file.

    Raises:
      ServingError, tf.errors.OpError: a record failed or is none; the version must not serve.
    """
    file = os.path.join(path, _WARMUP_FILE)
    if not os.path.exists(file):
        return 0
    replayed = 0
    for count, record in enumerate(tf.data.TFRecordDataset(file)):
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record.numpy())
        except Exception:
            raise invalid(f"Failed to parse warmup record: {count} from {file}") from None
        with contextlib.suppress(TooLarge):  # nobody else may ask for so much either
            _replay(servable, log)
            replayed += 1
        if count >= _MAX_WARMUP_RECORDS:
            raise invalid(
                f"Number of warmup records exceeds the maximum ({_MAX_WARMUP_RECORDS}) at {file}"
            )
    return replayed


def _replay(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        predict(servable, log.predict_log.request)
    elif kind == "classify_log":
        classify(servable, log.classify_log.request)
    else:
        raise ServingError(
            StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind or 'none'}"
        )
