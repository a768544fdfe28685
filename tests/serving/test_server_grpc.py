"""Predict, Classify, metadata and status over gRPC with the official stubs.

These tests run unchanged against the stock server (see conftest.py): codes and messages are its.
"""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from tests.serving import toy_models as toy
from tests.serving.serving_calls import Target, fails, predict_request

BATCHES = pytest.mark.parametrize("batch", [1, 7, 32])


@BATCHES
def test_encode_answers_each_row(server, batch):
    images = toy.images(batch)
    outputs = server.predict({"images": images}, "encode")
    assert sorted(outputs) == ["z_1", "z_1_stddev", "z_2", "z_2_stddev"]
    assert all(array.dtype == np.float32 for array in outputs.values())
    np.testing.assert_allclose(outputs["z_2"], toy.expected_z_2(images, 2))
    assert outputs["z_1"].shape == (batch, 2, 2, 1)


@BATCHES
def test_uint8_answers(server, batch):
    z_2 = np.arange(batch * toy.LATENT, dtype=np.float32).reshape(batch, toy.LATENT)
    images = server.predict({"z_2": z_2}, "decode")["images"]
    assert images.dtype == np.uint8 and images.shape == (batch, toy.SIZE, toy.SIZE, 1)
    np.testing.assert_array_equal(images[:, 0, 0, 0], z_2[:, 0] + 2)
    given = toy.images(batch) + np.uint8(10)
    both = server.predict({"images": given}, "reconstruct")
    np.testing.assert_array_equal(both["reconstruction_1"], given + 2)
    np.testing.assert_array_equal(both["reconstruction_2"], given - 2)
    one = server.predict({"z_1": np.full((batch, 2, 2, 1), 7, np.float32)}, "decode_1")
    assert (one["images"] == 9).all()


@BATCHES
def test_strings_and_integers(server, batch):
    outputs = server.predict({"images": toy.images(batch)}, "classify")
    assert outputs["classes"].shape == outputs["scores"].shape == (batch, 3)
    assert outputs["classes"][-1].tolist() == [b"cat", b"dog", b"hen"]
    seeds = np.arange(batch, dtype=np.int64)
    images = server.predict({"seeds": seeds}, "sample")["images"]
    np.testing.assert_array_equal(images[:, 3, 3, 0], (seeds * 31 + 2) % 256)


def test_answer_names_model_version_and_signature(server):
    request = predict_request({"images": toy.images(1)}, version=1)
    spec = server.prediction.Predict(request, timeout=30).model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("toy", 1, "serving_default")


@pytest.mark.parametrize(
    "spec, version",
    [({}, 2), ({"version": 1}, 1), ({"label": "stable"}, 1), ({"label": "canary"}, 2)],
)
def test_versions_and_labels(server, spec, version):
    outputs = server.predict({"images": toy.images(2)}, "encode", **spec)
    assert (outputs["z_2_stddev"] == version).all()


def test_output_filter(server):
    images = toy.images(2)
    outputs = server.predict({"images": images}, output_filter=["z_2_stddev", "z_2"])
    assert sorted(outputs) == ["z_2", "z_2_stddev"]
    np.testing.assert_allclose(outputs["z_2"], toy.expected_z_2(images, 2))
    assert (outputs["z_2_stddev"] == 2).all()


def test_two_inputs(server):
    a, b = np.ones((3, 2), np.float32), np.full((3, 2), 5, np.float32)
    outputs = server.predict({"a": a, "b": b}, "add")
    assert (outputs["sum"] == 6).all() and (outputs["difference"] == -4).all()


def test_batch_of_zero(server):
    assert server.predict({"images": toy.images(0)}, "encode")["z_2"].shape == (0, toy.LATENT)


def test_tensors_in_every_encoding(server):
    """tensor_content, one value an element, and one value for all elements."""
    shape = tf.TensorShape([2, toy.LATENT]).as_proto()
    values = {
        "content": {"tensor_content": np.full(8, 3, np.float32).tobytes()},
        "field": {"float_val": [3.0] * 8},
        "filled": {"float_val": [3.0]},
    }
    for fields in values.values():
        proto = tf.make_tensor_proto(0.0)
        proto.Clear()
        proto.MergeFrom(type(proto)(dtype=1, tensor_shape=shape, **fields))
        assert (server.predict({"z_2": proto}, "decode")["images"] == 5).all()


@pytest.mark.parametrize(
    "spec, code, message",
    [
        ({"name": "m"}, StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)"),
        ({"version": 9}, StatusCode.NOT_FOUND, "Servable not found for request: Specific(toy, 9)"),
        ({"label": "x"}, StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
        ({"name": ""}, StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (
            {"signature": "x"},
            StatusCode.FAILED_PRECONDITION,
            'Serving signature key "x" not found.',
        ),
        (
            {"output_filter": ["nope"]},
            StatusCode.INVALID_ARGUMENT,
            "output tensor alias not found in signature: nope Outputs expected to be in the set "
            "{z_1,z_1_stddev,z_2,z_2_stddev}.",
        ),
        (
            {"output_filter": ["z_2", "z_2"]},
            StatusCode.INVALID_ARGUMENT,
            "duplicate output tensor alias: z_2",
        ),
    ],
)
def test_bad_spec(server, spec, code, message):
    with fails(code, message):
        server.predict({"images": toy.images(1)}, **spec)


def test_missing_model_spec(server):
    with fails(StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"):
        server.prediction.Predict(predict_pb2.PredictRequest(), timeout=30)
    with fails(StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"):
        server.model.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(), timeout=30)


@pytest.mark.parametrize(
    "inputs, parts",
    [
        (
            {},
            [
                "input size does not match signature: 0!=1 len({}) != len({images}). "
                "Sent extra: {}. Missing but required: {images}."
            ],
        ),
        (
            {"images": toy.images(1), "more": toy.images(1)},
            [
                "input size does not match signature: 2!=1 len({images,more}) != len({images}). "
                "Sent extra: {more}. Missing but required: {}."
            ],
        ),
        ({"pictures": toy.images(1)}, ["Signature input alias: images", "not found in request"]),
        ({"images": toy.images(1).astype(np.float64)}, ["to be uint8 but double is provided"]),
        ({"images": toy.images(1).astype(np.float32)}, ["to be uint8 but float is provided"]),
        ({"images": np.array([["a"]])}, ["to be uint8 but string is provided"]),
    ],
)
def test_bad_inputs(server, inputs, parts):
    with fails(StatusCode.INVALID_ARGUMENT, *parts):
        server.predict(inputs, "encode")


@pytest.mark.parametrize(
    "shape", [(), (1,), (1, 7, 8, 1), (1, 8, 8, 3), (8, 8, 1), (1, 1, 8, 8, 1)]
)
def test_wrong_shape(server, shape):
    """The stock server leaves shapes to the kernels, so only the code is the same."""
    with fails(StatusCode.INVALID_ARGUMENT):
        server.predict({"images": np.zeros(shape, np.uint8)}, "encode")


@pytest.mark.parametrize(
    "dims, fields",
    [
        ([2, 4], {"tensor_content": bytes(31)}),
        ([2, 4], {"tensor_content": bytes(33)}),
        ([2, 4], {"tensor_content": bytes(64)}),
        ([-1, 4], {"tensor_content": bytes(32)}),
        ([-2, -2], {"tensor_content": bytes(16)}),
        ([1 << 40, 1 << 40], {"float_val": [1.0]}),
        ([(1 << 62) + 1, 4], {"float_val": [1.0]}),
    ],
)
def test_values_that_do_not_fit_the_shape(server, dims, fields):
    proto = tf.make_tensor_proto(0.0)
    proto.Clear()
    proto.MergeFrom(type(proto)(dtype=1, **fields))
    for size in dims:
        proto.tensor_shape.dim.add().size = size
    with fails(StatusCode.INVALID_ARGUMENT, "tensor parsing error: z_2"):
        server.predict({"z_2": proto}, "decode")


def test_deadline(server):
    with fails(StatusCode.DEADLINE_EXCEEDED):
        server.predict({"images": toy.images(20_000)}, "encode", timeout=0.001)
    server.predict({"images": toy.images(1)}, "encode")


def test_answer_above_the_clients_limit(server):
    """The limit is the client's own: the server sends what it is asked for."""
    seeds = np.arange(80_000, dtype=np.int64)
    narrow = Target(server.grpc, None)
    narrow.channel = grpc.insecure_channel(server.grpc)
    request = predict_request({"seeds": seeds}, "sample")
    stub = type(server.prediction)(narrow.channel)
    with fails(StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max"):
        stub.Predict(request, timeout=60)
    assert server.predict({"seeds": seeds}, "sample", timeout=60)["images"].nbytes == 5_120_000


def test_messages_are_cut(server):
    with pytest.raises(grpc.RpcError) as caught:
        server.predict({"images": toy.images(1)}, "x" * 5000)
    assert caught.value.code() == StatusCode.FAILED_PRECONDITION
    assert caught.value.details().endswith("x...TRUNCATED")
    assert len(caught.value.details()) == 1024 + len("...TRUNCATED")


def test_messages_of_long_letters_are_cut_in_time_for_grpc(embed, toy_base):
    with fails(StatusCode.FAILED_PRECONDITION, "...TRUNCATED"):
        embed(toy_base).predict({"images": toy.images(1)}, "\N{SNOWMAN}" * 5000)


def test_classify(server):
    images = toy.images(3)
    response = server.classify([toy.example(image) for image in images])
    assert response.model_spec.version.value == 2
    rows = response.result.classifications
    assert [entry.label for entry in rows[0].classes] == ["cat", "dog", "hen"]
    means = images.reshape(3, -1).mean(axis=1)
    for row, mean in zip(rows, means):
        scores = [entry.score for entry in row.classes]
        np.testing.assert_allclose(scores, [mean + 2, mean * 2, mean * 3])


def test_classify_with_context(server):
    """The context is merged into each example; here it brings the whole image."""
    empty = tf.train.Example()
    empty.features.SetInParent()
    response = server.classify([empty, empty], context=toy.example(toy.images(2)[1]))
    assert [row.classes[1].score for row in response.result.classifications] == [14, 14]


def test_predict_takes_serialized_examples(server):
    serialized = [toy.example(image).SerializeToString() for image in toy.images(2)]
    outputs = server.predict({"inputs": np.array(serialized, object)}, "classify_examples")
    assert outputs["scores"].shape == (2, 3)


@pytest.mark.parametrize(
    "signature, message",
    [
        ("x", "No signature was found with the name: x"),
        ("encode", "Expected one or two output Tensors, found 4"),
        ("add", "Expected one input Tensor."),
        ("decode", "No classification inputs found in SignatureDef"),
        ("classify", "No classification inputs found in SignatureDef"),
    ],
)
def test_classify_with_an_unfit_signature(server, signature, message):
    with fails(StatusCode.INVALID_ARGUMENT, message):
        server.classify([toy.example(toy.images(1)[0])], signature)


def test_classify_without_examples(server):
    with fails(StatusCode.INVALID_ARGUMENT, "Input is empty."):
        server.classify([])


def test_classify_a_broken_image(server):
    png = toy.example(toy.images(1)[0]).features.feature["image/encoded"].bytes_list.value[0]
    for data in (b"", b"no image", png[: len(png) // 2]):
        with fails(StatusCode.INVALID_ARGUMENT):
            server.classify([toy.encoded_example(data)])
    with fails(StatusCode.INVALID_ARGUMENT):
        server.classify([tf.train.Example()])


def test_metadata(server):
    response = server.metadata()
    assert (response.model_spec.name, response.model_spec.version.value) == ("toy", 2)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    encode = signatures.signature_def["encode"]
    assert [dim.size for dim in encode.inputs["images"].tensor_shape.dim] == [-1, 8, 8, 1]
    assert encode.method_name == "tensorflow/serving/predict"


def test_metadata_errors(server):
    with fails(StatusCode.INVALID_ARGUMENT, "must specify at least one metadata_field"):
        server.metadata(fields=())
    with fails(StatusCode.INVALID_ARGUMENT, "Metadata field x is not supported"):
        server.metadata(fields=("x",))
    with fails(StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)"):
        server.metadata("m")


def test_status(server):
    available = ("AVAILABLE", 0, "")
    assert server.status() == {2: available, 1: available}
    assert server.status(version=1) == {1: available}
    with fails(StatusCode.NOT_FOUND, "Could not find any versions of model m"):
        server.status("m")
    with fails(StatusCode.NOT_FOUND, "Could not find version 9 of model toy"):
        server.status(version=9)
