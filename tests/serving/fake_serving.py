"""A PredictionService in this process that behaves, or misbehaves, on demand."""

from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

FLOAT, UINT8, STRING, INT64 = 1, 4, 7, 9
IMAGE, LATENT_1, LATENT_2 = (6, 8, 3), (2, 2, 4), (5,)
SIGNATURES = {
    "encode": (
        {"images": (UINT8, IMAGE)},
        {
            "z_1": (FLOAT, LATENT_1),
            "z_1_stddev": (FLOAT, LATENT_1),
            "z_2": (FLOAT, LATENT_2),
            "z_2_stddev": (FLOAT, LATENT_2),
        },
    ),
    "decode": ({"z_2": (FLOAT, LATENT_2)}, {"images": (UINT8, IMAGE)}),
    "decode_1": ({"z_1": (FLOAT, LATENT_1)}, {"images": (UINT8, IMAGE)}),
    "decode_latents": ({"z_2": (FLOAT, LATENT_2)}, {"z_1": (FLOAT, LATENT_1)}),
    "reconstruct": (
        {"images": (UINT8, IMAGE)},
        {"reconstruction_1": (UINT8, IMAGE), "reconstruction_2": (UINT8, IMAGE)},
    ),
    "classify": ({"images": (UINT8, IMAGE)}, {"classes": (STRING, (2,)), "scores": (FLOAT, (2,))}),
    "sample": ({"seeds": (INT64, ())}, {"images": (UINT8, IMAGE)}),
}


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers each row with its own first value, so that order and rows can be checked."""

    def __init__(self):
        self.signatures = dict(SIGNATURES)
        self.version = 1
        self.as_numbers = False  # the stock server's default way to send tensors
        self.failures = []  # (code, message) of the next answers
        self.requests = []
        self.headers = []  # of all messages
        self.seconds_left = []  # until the deadline of each Predict
        self.metadata_requests = 0
        self.before_answer = lambda: None

    def GetModelMetadata(self, request, context):
        self.metadata_requests += 1
        self.headers.append(dict(context.invocation_metadata()))
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name = request.model_spec.name
        answer.model_spec.version.value = self.version
        table = get_model_metadata_pb2.SignatureDefMap()
        for name, sides in self.signatures.items():
            definition = table.signature_def[name]
            for infos, tensors in zip((definition.inputs, definition.outputs), sides):
                for key, (dtype, shape) in tensors.items():
                    infos[key].dtype = dtype
                    for size in (-1, *shape):
                        infos[key].tensor_shape.dim.add(size=size)
        answer.metadata["signature_def"].Pack(table)
        return answer

    def Predict(self, request, context):
        self.requests.append(request)
        self.headers.append(dict(context.invocation_metadata()))
        self.seconds_left.append(context.time_remaining())
        self.before_answer()
        if self.failures:
            context.abort(*self.failures.pop(0))
        ((_, tensor),) = request.inputs.items()
        batch = tf.make_ndarray(tensor)
        first = batch.reshape(len(batch), -1)[:, 0]
        answer = predict_pb2.PredictResponse()
        answer.model_spec.version.value = self.version
        for number, (key, (dtype, shape)) in enumerate(
            self.signatures[request.model_spec.signature_name][1].items()
        ):
            rows = np.broadcast_to(first.reshape(-1, *[1] * len(shape)), (len(batch), *shape))
            if dtype == STRING:
                tensor = tensor_pb2.TensorProto(dtype=STRING)
                tensor.string_val.extend(str(value).encode() for value in rows.flat)
                for size in rows.shape:
                    tensor.tensor_shape.dim.add(size=size)
            elif self.as_numbers:
                tensor = tensor_pb2.TensorProto(dtype=dtype)
                for size in rows.shape:
                    tensor.tensor_shape.dim.add(size=size)
                field = {UINT8: "int_val", FLOAT: "float_val"}[dtype]
                getattr(tensor, field).extend((rows + number).flatten().tolist())
            else:
                tensor = tf.make_tensor_proto(
                    (rows + number).astype({1: np.float32, 4: np.uint8}[dtype])
                )
            answer.outputs[key].CopyFrom(tensor)
        return answer


def start(servicer, credentials=None):
    """Starts a server on a free port; returns (server, port)."""
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    if credentials:
        port = server.add_secure_port("localhost:0", credentials)
    else:
        port = server.add_insecure_port("localhost:0")
    server.start()
    return server, port


@pytest.fixture
def servicer():
    return Servicer()


@pytest.fixture
def target(servicer):
    server, port = start(servicer)
    yield f"localhost:{port}"
    server.stop(0).wait()
