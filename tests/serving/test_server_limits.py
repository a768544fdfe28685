"""What the embedded server bounds, adds to the stock one, and lacks."""

import os
import socket
import threading
import types
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.descriptor_pool import DescriptorPool
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tensorflow_serving.apis import (
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.embedded import endpoints, inference, rest
from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from tests.serving import toy_models as toy
from tests.serving.serving_calls import fails, predict_request, target_of, wait_for

X = {"x": np.ones((1, 4), np.float32)}


def filled(dtype, dims, **fields):
    """A TensorProto with one value for all of its shape: a few bytes that would take gigabytes."""
    proto = tf.make_tensor_proto(0.0)
    proto.Clear()
    proto.MergeFrom(type(proto)(dtype=dtype, **fields))
    for size in dims:
        proto.tensor_shape.dim.add().size = size
    return proto


BIG = bytes(1 << 20)
TOO_MANY = "is larger than maximum input batch size 256"


@pytest.mark.parametrize(
    "signature, alias, proto, message",
    [
        ("sample", "seeds", filled(9, [200_000], int64_val=[1]), f"Task size 200000 {TOO_MANY}"),
        ("encode", "images", filled(4, [262_144, 8, 8, 1], int_val=[1]), TOO_MANY),
        ("encode", "images", filled(4, [1 << 24, 8, 8, 1], int_val=[1]), "tensor parsing error"),
        ("classify_examples", "inputs", filled(7, [1 << 24], string_val=[b""]), "parsing error"),
        ("classify_examples", "inputs", filled(7, [256], string_val=[BIG]), "parsing error"),
        ("sample", "seeds", tf.make_tensor_proto(np.arange(257)), TOO_MANY),
    ],
)
def test_requests_for_too_much_work(embed, toy_base, signature, alias, proto, message):
    with fails(StatusCode.INVALID_ARGUMENT, message):
        embed(toy_base).predict({alias: proto}, signature)


def test_a_context_that_would_be_repeated_too_often(embed, toy_base):
    server = embed(toy_base, max_message_bytes=100_000)
    context = toy.encoded_example(bytes(50_000))
    with fails(StatusCode.INVALID_ARGUMENT, "the context in each of 2 examples would make 100"):
        server.classify([tf.train.Example()] * 2, context=context)


def test_messages_are_limited_both_ways(embed, toy_base):
    server = embed(toy_base, max_message_bytes=10_000)
    with fails(StatusCode.RESOURCE_EXHAUSTED, "larger than max"):
        server.predict({"images": toy.images(200)}, "encode")
    with fails(StatusCode.INVALID_ARGUMENT, "157 examples would have 10048 bytes", "10000; send"):
        server.predict({"seeds": np.arange(157)}, "sample")
    server.predict({"seeds": np.arange(156)}, "sample")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_latents_that_are_no_numbers(embed, toy_base, value):
    z_2 = np.zeros((3, toy.LATENT), np.float32)
    z_2[1, 2] = value
    with fails(StatusCode.INVALID_ARGUMENT, "z_2 has values that are NaN or infinite"):
        embed(toy_base).predict({"z_2": z_2}, "decode")


def test_reloading_has_to_be_allowed(embed, toy_base, toy_config):
    server = embed(toy_base, allow_reload=False)
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.CopyFrom(toy_config)
    with fails(StatusCode.PERMISSION_DENIED, "--allow_reload"):
        server.model.HandleReloadConfigRequest(request, timeout=30)


def test_more_requests_than_may_wait_are_refused_at_once(embed, tmp_path):
    gate = tmp_path / "gate"
    toy.save(str(tmp_path), 1, gate=str(gate), warmup=())
    server = embed(tmp_path, grpc_max_threads=1, max_waiting_requests=1)
    request = predict_request(X, "slow")
    first = server.prediction.Predict.future(request, timeout=60)
    wait_for(lambda: os.path.exists(toy.reached(gate)))
    others = [server.prediction.Predict.future(request, timeout=60) for _ in range(5)]
    wait_for(lambda: sum(call.done() for call in others) == 4)
    assert {call.code() for call in others if call.done()} == {StatusCode.UNAVAILABLE}
    gate.touch()
    assert first.result()
    assert sorted(call.code().name for call in others) == ["OK"] + ["UNAVAILABLE"] * 4


@pytest.mark.parametrize(
    "begun",
    [
        "POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Le",
        "POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    ],
    ids=["header", "body"],
)
def test_a_request_that_is_never_sent_whole_is_closed(embed, toy_base, monkeypatch, begun):
    monkeypatch.setattr(rest, "_IDLE_SECONDS", 0.3)
    port = int(embed(toy_base, rest_api_port=0).rest.rsplit(":", 1)[1])
    with socket.create_connection(("localhost", port), timeout=30) as connection:
        connection.sendall(begun.encode())
        assert connection.recv(1) == b""  # closed


@pytest.fixture
def computed(monkeypatch):
    """The inputs of each request that is computed."""
    seen, run = [], inference.predict_arrays

    def record(servable, signature, arrays, aliases):
        seen.append(sorted(arrays))
        return run(servable, signature, arrays, aliases)

    monkeypatch.setattr(inference, "predict_arrays", record)
    return seen


def test_a_call_whose_deadline_passes_before_it_has_a_thread_is_not_computed(toy_base, computed):
    options = ServerOptions(one_model("toy", toy_base), port=0, grpc_max_threads=1)
    with EmbeddedServer(options) as embedded:
        server, threads, may_go = target_of(embedded), embedded._grpc._threads, threading.Event()
        del computed[:]  # the warm-up
        threads.submit(may_go.wait, 60)  # holds the one thread
        with fails(StatusCode.DEADLINE_EXCEEDED):
            server.predict({"images": toy.images(1)}, timeout=0.5)
        assert len(threads.calls) == 2  # it waits
        request = predict_request({"seeds": np.arange(1)}, "sample")
        later = server.prediction.Predict.future(request, timeout=60)
        wait_for(lambda: len(threads.calls) == 3)  # by then the server knows of the deadline
        may_go.set()
        assert later.result()
        assert computed == [["seeds"]]


@pytest.mark.parametrize("reason", ["the time is over", "the caller closes the connection"])
def test_a_rest_call_whose_caller_leaves_before_it_has_a_thread_is_not_computed(
    toy_base, computed, monkeypatch, reason
):
    gone, close = threading.Event(), rest._Handler.on_connection_close
    monkeypatch.setattr(
        rest._Handler, "on_connection_close", lambda handler: (close(handler), gone.set())
    )
    milliseconds = 300 if reason == "the time is over" else 60_000
    models = one_model("toy", toy_base)
    options = ServerOptions(
        models,
        port=None,
        rest_api_port=0,
        rest_api_num_threads=1,
        rest_api_timeout_in_ms=milliseconds,
    )
    with EmbeddedServer(options) as embedded:
        threads, may_go = embedded._rest._threads, threading.Event()
        del computed[:]  # the warm-up
        threads.submit(may_go.wait, 60)  # holds the one thread
        body = b'{"signature_name": "sample", "instances": [1]}'
        head = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        address = ("localhost", embedded.rest_api_port)
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(head % len(body) + body)
            if milliseconds == 300:
                assert connection.recv(100).startswith(b"HTTP/1.1 504")
            else:
                wait_for(lambda: len(threads.calls) == 2)
        assert milliseconds == 300 or gone.wait(30)
        may_go.set()
        wait_for(lambda: not threads.calls)
        assert not computed


def test_a_large_message_does_not_hold_up_health_checks(embed, toy_base, monkeypatch):
    """Parsing it waits here until the health check is answered."""
    answered = threading.Event()
    right = predict_pb2.PredictRequest

    def parse(data):
        assert answered.wait(30)
        return right.FromString(data)

    fake = types.SimpleNamespace(FromString=parse, SerializeToString=right.SerializeToString)
    monkeypatch.setattr(predict_pb2, "PredictRequest", fake)
    server = embed(toy_base)
    monkeypatch.undo()
    request = predict_request({"images": toy.images(1), "more": np.zeros(1, np.uint8)})
    call = server.prediction.Predict.future(request, timeout=60)
    check = health_pb2.HealthCheckRequest()
    assert health_pb2_grpc.HealthStub(server.channel).Check(check, timeout=30).status == 1
    assert not call.done()
    answered.set()
    assert call.code() == StatusCode.INVALID_ARGUMENT


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


def test_open_streams_hold_up_neither_calls_nor_the_end(toy_base, monkeypatch):
    monkeypatch.setattr(endpoints, "_SENDING_SECONDS", 0.1)
    options = ServerOptions(
        one_model("toy", toy_base), port=0, grpc_max_threads=1, drain_seconds=600
    )
    ended = threading.Event()
    with EmbeddedServer(options) as embedded:
        server = target_of(embedded)

        def ask():
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            ended.wait()

        stubs = [reflection_pb2_grpc.ServerReflectionStub(server.channel)] * 2
        streams = [stub.ServerReflectionInfo(ask()) for stub in stubs]
        streams.append(
            health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
        )
        for stream in streams:
            assert next(stream)
        assert toy.ask(server) == 2
    for stream in streams:
        with pytest.raises(grpc.RpcError):
            list(stream)
    ended.set()


def test_warm_up_requests_beyond_the_limits_are_left_out(embed, tmp_path, caplog):
    caplog.set_level("INFO", "serving")
    logs = [*toy.warmup_logs(), *toy.warmup_logs()]
    logs[1].classify_log.request.input.example_list.examples.extend(
        [toy.example(toy.images(1)[0])] * 16
    )
    toy.save(str(tmp_path), 1, warmup=logs)
    assert toy.ask(embed(tmp_path, max_examples=16)) == 1
    assert "toy version 1: 3 warm-up requests replayed" in caplog.text


def test_health_answers_while_all_threads_are_busy(embed, tmp_path):
    gate = tmp_path / "gate"
    toy.save(str(tmp_path), 1, gate=str(gate), warmup=())
    server = embed(tmp_path, grpc_max_threads=1)
    with futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.predict, X, "slow")
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
