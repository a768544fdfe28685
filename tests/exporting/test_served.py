"""An export of hali_tf behind the embedded server, called with the client and the bare stubs."""

import pathlib

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import classification_pb2, prediction_service_pb2_grpc

from hali_tf.exporting import warmup
from serving.client import HaliClient
from serving.embedded import protos
from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from tests.exporting.test_export import png
from tests.pictures import HOSTILE

DEPLOY = pathlib.Path(__file__).parents[2] / "serving" / "deploy"


@pytest.fixture(scope="module")
def target(version_dir):
    models = one_model("hali", str(pathlib.Path(version_dir).parent))
    options = ServerOptions(models, host="localhost", port=0)
    with EmbeddedServer(options) as server:
        yield f"localhost:{server.port}"


@pytest.fixture(scope="module")
def client(target):
    with HaliClient(target) as client:
        yield client


def near(served, ours):
    assert np.abs(served.astype(int) - np.asarray(ours).astype(int)).max() <= 1


def test_a_thousand_images_come_back_in_order(client, model):
    images = np.random.default_rng(0).integers(0, 256, (1000, *model.image_shape)).astype("u1")
    levels = client.encode(images)
    for (mean, stddev), q in zip(levels, model.encode(images)):
        np.testing.assert_allclose(mean, q.mean, atol=1e-4)
        np.testing.assert_allclose(stddev, q.stddev, atol=1e-4)
    for level, rebuilt in enumerate(client.reconstruct(images), start=1):
        near(rebuilt, model.reconstruct(images, level))
    near(client.decode(levels[0][0][:50], level=1), model.decode(levels[0][0][:50], 1))
    (z_1,), (ours, _) = (side.decode_latents(levels[1][0][:50]) for side in (client, model))
    np.testing.assert_allclose(z_1, ours, atol=1e-4)
    near(client.decode(levels[1][0][:50]), model.decode(levels[1][0][:50]))


def test_samples_do_not_depend_on_the_batch(client, model):
    seeds = np.arange(100)
    images = client.sample(seeds)
    near(images, model.sample(seeds))
    near(client.sample(seeds[93:94]), images[93:94])


def test_classify_rpc_answers_as_classify(client, target, model):
    images = np.random.default_rng(0).integers(0, 256, (3, *model.image_shape)).astype("u1")
    classes, scores = client.classify(images)
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "hali"
    request.model_spec.signature_name = "classify_examples"
    request.input.example_list.examples.extend(warmup.example(png(image)) for image in images)
    with grpc.insecure_channel(target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Classify(request, timeout=30)
    for row, result in enumerate(answer.result.classifications):
        assert [c.label for c in result.classes] == list(classes[row])
        np.testing.assert_allclose([c.score for c in result.classes], scores[row], atol=1e-5)


def test_a_bomb_is_refused_and_the_next_request_answered(client, target, model):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "hali"
    request.model_spec.signature_name = "classify_examples"
    with grpc.insecure_channel(target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for name in ("PNG bomb", "JPEG bomb", "JPEG of many scans", "GIF bomb", "nothing"):
            request.input.Clear()
            request.input.example_list.examples.append(warmup.example(HOSTILE[name]))
            with pytest.raises(grpc.RpcError, match="image/encoded: ") as caught:
                stub.Classify(request, timeout=30)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, name
    assert len(client.classify(np.zeros((1, *model.image_shape), np.uint8))[1]) == 1


@pytest.mark.parametrize("path", ["base/config/server/batching.pbtxt", "gpu/batching.pbtxt"])
def test_every_batch_size_of_production_is_warmed_up(path):
    parameters = protos.read_text(str(DEPLOY / path), protos.BatchingParameters, "")
    assert set(parameters.allowed_batch_sizes) <= set(warmup.BATCH_SIZES)
