"""What the embedded server bounds, adds to the stock one, and lacks."""

import os
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.descriptor_pool import DescriptorPool
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    inference_pb2,
    regression_pb2,
)

from serving.embedded import tensors
from serving.embedded.status import ServingError
from tests.serving import toy_models as toy
from tests.serving.serving_calls import fails, wait_for


@pytest.mark.parametrize(
    "signature, alias, dtype, dims, fields, message",
    [
        (
            "encode",
            "images",
            4,
            [262144, 8, 8, 1],
            {"int_val": [1]},
            "tensor parsing error: images",
        ),
        ("sample", "seeds", 9, [200_000], {"int64_val": [1]}, "tensor parsing error: seeds"),
    ],
)
def test_short_requests_for_much_work(
    embed, toy_base, signature, alias, dtype, dims, fields, message
):
    """One value for the whole shape: a few bytes that would take gigabytes."""
    proto = tf.make_tensor_proto(0.0)
    proto.Clear()
    proto.MergeFrom(type(proto)(dtype=dtype, **fields))
    for size in dims:
        proto.tensor_shape.dim.add().size = size
    with fails(StatusCode.INVALID_ARGUMENT, message):
        embed(toy_base).predict({alias: proto}, signature)


def test_an_answer_that_no_message_could_hold():
    info = meta_graph_pb2.TensorInfo(dtype=1)  # float32 [B, 256, 256, 2]
    for size in (-1, 256, 256, 2):
        info.tensor_shape.dim.add().size = size
    tensors.check_answer_size(4095, {"images": info})
    with pytest.raises(ServingError, match="2147483648 bytes.*send fewer examples") as caught:
        tensors.check_answer_size(4096, {"images": info})
    assert caught.value.code == StatusCode.INVALID_ARGUMENT


def test_reflection(embed, toy_base):
    """What grpcurl asks for: the services, and the messages of one."""
    database = ProtoReflectionDescriptorDatabase(embed(toy_base).channel)
    assert set(database.get_services()) == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    }
    pool = DescriptorPool(database)
    service = pool.FindServiceByName("tensorflow.serving.PredictionService")
    assert service.FindMethodByName("Predict").input_type.name == "PredictRequest"


def test_health_answers_while_all_threads_are_busy(embed, tmp_path):
    gate = tmp_path / "gate"
    toy.save(str(tmp_path), 1, gate=str(gate), warmup=())
    server = embed(tmp_path, grpc_max_threads=1)
    with futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.predict, {"x": np.ones((1, 4), np.float32)}, "slow")
        wait_for(lambda: os.path.exists(toy.reached(gate)))
        request = health_pb2.HealthCheckRequest()
        assert health_pb2_grpc.HealthStub(server.channel).Check(request, timeout=30).status == 1
        assert not slow.done()
        gate.touch()
        assert slow.result(30)["y"].tolist() == [[2, 2, 2, 2]]


def test_calls_that_the_embedded_server_lacks(embed, toy_base):
    server = embed(toy_base)
    with fails(StatusCode.UNIMPLEMENTED):
        server.prediction.Regress(regression_pb2.RegressionRequest(), timeout=30)
    with fails(StatusCode.UNIMPLEMENTED):
        server.prediction.MultiInference(inference_pb2.MultiInferenceRequest(), timeout=30)
