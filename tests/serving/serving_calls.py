"""Short ways to call a server of the toy model, for the tests beside."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def wait_for(condition, seconds=60):
    """Waits until `condition()` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@dataclasses.dataclass
class Target:
    """A server that serves `toy`."""

    grpc: str
    rest: str | None

    def __post_init__(self):
        self.channel = grpc.insecure_channel(self.grpc, UNLIMITED)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, inputs, signature="", timeout=30, **spec):
        """Outputs as arrays; a grpc.RpcError otherwise. `spec`: name, version, label, filter."""
        request = predict_request(inputs, signature, **spec)
        return arrays(self.prediction.Predict(request, timeout=timeout))

    def classify(self, examples, signature="classify_examples", context=None, timeout=30):
        """The ClassificationResponse for tf.Examples."""
        request = classification_pb2.ClassificationRequest()
        request.model_spec.name, request.model_spec.signature_name = "toy", signature
        if context is None:
            request.input.example_list.examples.extend(examples)
        else:
            request.input.example_list_with_context.context.CopyFrom(context)
            request.input.example_list_with_context.examples.extend(examples)
        return self.prediction.Classify(request, timeout=timeout)

    def metadata(self, name="toy", fields=("signature_def",)):
        """The GetModelMetadataResponse."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = name
        return self.prediction.GetModelMetadata(request, timeout=30)

    def status(self, name="toy", version=None):
        """Version -> (state's name, error code, error message)."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        response = self.model.GetModelStatus(request, timeout=30)
        return {
            entry.version: (
                get_model_status_pb2.ModelVersionStatus.State.Name(entry.state),
                entry.status.error_code,
                entry.status.error_message,
            )
            for entry in response.model_version_status
        }

    def http(self, path, body=None):
        """(status, JSON or text) of a GET, or of a POST of `body`."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(self.rest + path, data, timeout=30) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        return status, json.loads(text) if text.startswith("{") else text


def predict_request(inputs, signature="", name="toy", version=None, label=None, output_filter=()):
    """A PredictRequest of arrays (or TensorProtos) by alias."""
    request = predict_pb2.PredictRequest(output_filter=output_filter)
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        is_array = isinstance(value, np.ndarray)
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value) if is_array else value)
    return request


def reload_request(models):
    """A ReloadConfigRequest of a ModelConfigList."""
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.CopyFrom(models)
    return request


def arrays(response):
    """The outputs of a PredictResponse as arrays."""
    return {alias: tf.make_ndarray(proto) for alias, proto in response.outputs.items()}


@contextlib.contextmanager
def fails(code, *parts):
    """The call inside fails with this code and a message that holds each part."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    error = caught.value
    assert error.code() == code, error
    for part in parts:
        assert part in error.details()


def target_of(embedded):
    """The target that an EmbeddedServer is."""
    url = f"http://localhost:{embedded.rest_api_port}" if embedded.rest_api_port else None
    return Target(f"localhost:{embedded.port}", url)


def listens(port):
    """Whether somebody listens at a TCP port."""
    with socket.socket() as sock:
        return sock.connect_ex(("localhost", port)) == 0


def free_port():
    """A TCP port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        return sock.getsockname()[1]
