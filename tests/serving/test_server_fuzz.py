"""Bad requests by the thousand: each a clear status, no crash, no growth of memory."""

import os
import random

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from grpc import StatusCode

from serving.embedded.batching import BatchingOptions
from tests.serving import toy_models as toy
from tests.serving.serving_calls import predict_request

# What a request can be told; anything else (INTERNAL, UNKNOWN, CANCELLED) is the server's fault.
CLEAR = {
    None,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.UNIMPLEMENTED,
}
SIGNATURES = (
    "encode",
    "decode",
    "decode_1",
    "reconstruct",
    "classify",
    "classify_examples",
    "sample",
    "add",
    "scalar",
    "",
    "x",
)
ALIASES = ("images", "z_1", "z_2", "inputs", "seeds", "a", "b", "x", "")
SIZES = (-(1 << 63), -1, 0, 0, 1, 1, 1, 2, 2, 3, 4, 4, 8, 8, 8, 1 << 31, 1 << 40, (1 << 63) - 1)


def random_tensor(rng):
    """A TensorProto of any dtype, shape and values, mostly nonsense."""
    proto = tf.make_tensor_proto(0.0)
    proto.Clear()
    proto.dtype = rng.choice([0, 1, 1, 2, 3, 4, 4, 7, 7, 9, 9, 10, 14, 19, 20, 21, 23, 101, 999])
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4, 4, 4, 5, 40])):
        proto.tensor_shape.dim.add().size = rng.choice(SIZES)
    proto.tensor_shape.unknown_rank = rng.random() < 0.05
    fill = rng.randrange(6)
    if fill == 0:
        proto.tensor_content = rng.randbytes(rng.choice([0, 1, 3, 4, 16, 64, 256, 1000]))
    elif fill == 1:
        value = rng.choice([0.0, float("nan"), float("inf"), 1e38])
        proto.float_val.extend([value] * rng.randrange(9))
    elif fill == 2:
        proto.int_val.extend([rng.choice([-1, 0, 255, 256, (1 << 31) - 1])] * rng.randrange(9))
    elif fill == 3:
        proto.int64_val.extend([rng.choice([-1, 0, 1 << 62])] * rng.randrange(9))
    elif fill == 4:
        proto.string_val.extend([rng.randbytes(rng.randrange(40))] * rng.randrange(9))
    return proto


def random_request(rng):
    """Serialized: a made-up request, or a good one with bytes knocked about."""
    if rng.random() < 0.25:
        data = bytearray(predict_request({"images": toy.images(1)}, "encode").SerializeToString())
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
    names = rng.choices(ALIASES, k=rng.choice([0, 1, 1, 1, 1, 2, 3]))
    if rng.random() < 0.7:  # mostly the right names, so that the tensors are looked at
        right = {
            "encode": ["images"],
            "decode": ["z_2"],
            "sample": ["seeds"],
            "add": ["a", "b"],
            "decode_1": ["z_1"],
            "classify_examples": ["inputs"],
            "scalar": ["x"],
        }
        signature = rng.choice(list(right))
        names = right[signature]
    else:
        signature = rng.choice(SIGNATURES)
    request = predict_request({name: random_tensor(rng) for name in names}, signature)
    if rng.random() < 0.1:
        request.output_filter.append(rng.choice(["z_2", "images", "", "\N{SNOWMAN}"]))
    if rng.random() < 0.1:
        request.model_spec.version.value = rng.choice(SIZES)
    if rng.random() < 0.05:
        request.model_spec.name = rng.choice(["", "m" * 3000, "\0"])
    return request.SerializeToString()


def fuzz(server, rng, count):
    """Status of each of `count` requests; bytes go out as they are."""
    method = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    codes = {}
    for index in range(count):
        data = random_request(rng)
        code = None
        try:
            method(data, timeout=20)
        except grpc.RpcError as error:
            code = error.code()
            assert error.details(), code
            assert len(error.details()) < 1100
        assert code in CLEAR, (index, code, data[:200])
        codes[code] = codes.get(code, 0) + 1
    return codes


def rss_mib():
    return psutil.Process(os.getpid()).memory_info().rss / (1 << 20)


BATCHING = BatchingOptions(max_batch_size=32, allowed_batch_sizes=(1, 8, 32))


@pytest.mark.parametrize("batching", [None, BATCHING])
def test_fuzzed_requests(embed, toy_base, batching):
    server = embed(toy_base, batching=batching)
    rng = random.Random(1)
    fuzz(server, rng, 200)  # caches and pools fill
    before = rss_mib()
    codes = fuzz(server, rng, 600)
    assert codes[StatusCode.INVALID_ARGUMENT] > 200
    assert rss_mib() - before < 32
    images = toy.images(5)
    outputs = server.predict({"images": images}, "encode")
    np.testing.assert_allclose(outputs["z_2"], toy.expected_z_2(images, 2))


@pytest.mark.slow
def test_memory_over_many_thousand(embed, toy_base):
    server = embed(toy_base, batching=BATCHING)
    rng = random.Random(2)
    fuzz(server, rng, 3000)
    before = rss_mib()
    fuzz(server, rng, 20_000)
    assert rss_mib() - before < 48


def test_fuzzed_json(embed, toy_base):
    server = embed(toy_base, rest_api_port=0)
    rng = random.Random(3)
    good = b'{"signature_name": "decode", "instances": [[1, 2, 3, 4]]}'
    pieces = [
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"1e999",
        b"null",
        b"NaN",
        b"\xff",
        b",",
        b"true",
        b'{"b64": "AA=="}',
        b"9" * 400,
    ]
    statuses = set()
    for _ in range(400):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(4)] = rng.choice(pieces)
        status, answer = server.http("/v1/models/toy:predict", bytes(data))
        assert status in (200, 400, 404, 501), (status, answer, bytes(data))
        statuses.add(status)
    assert 400 in statuses
    status, answer = server.http("/v1/models/toy:predict", b"[" * 200_000)
    assert status == 400 and "JSON Parse error" in answer["error"]
    deep = b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}"
    assert server.http("/v1/models/toy:predict", deep)[0] == 400
    assert server.http("/v1/models/toy:predict", good)[0] == 200


def test_images_of_every_size(embed, toy_base):
    """One pixel, 50 megapixels, and everything that is no picture."""
    server = embed(toy_base)
    pixel = tf.io.encode_png(np.full((1, 1, 1), 9, np.uint8)).numpy()
    giant = tf.io.encode_png(tf.fill([5000, 10_000, 1], tf.constant(9, tf.uint8))).numpy()
    jpeg = tf.io.encode_jpeg(np.full((64, 64, 3), 9, np.uint8)).numpy()
    for data in (pixel, giant, jpeg):
        response = server.classify([toy.encoded_example(data)])
        assert response.result.classifications[0].classes[1].score == 18
    for data in (b"", pixel[:20], jpeg[:100], os.urandom(1000)):
        with pytest.raises(grpc.RpcError) as caught:
            server.classify([toy.encoded_example(data)])
        assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    assert server.classify([toy.encoded_example(pixel)]).result.classifications


def test_abandoned_calls_leave_nothing_behind(embed, toy_base):
    batching = BatchingOptions(max_batch_size=64, batch_timeout_micros=20_000)
    server = embed(toy_base, batching=batching)
    request = predict_request({"images": toy.images(8)}, "encode")
    for _ in range(100):
        server.prediction.Predict.future(request).cancel()
    assert server.predict({"images": toy.images(1)}, "encode")["z_2"].shape == (1, toy.LATENT)
