"""The client against a real server: the embedded one, or a stock one where it is at hand."""

import pathlib
import threading
import time

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.client import HaliClient, HaliClientError, command
from serving.embedded.batching import read_options
from tests.serving import toy_models
from tests.serving.serving_calls import wait_for

DEPLOY = pathlib.Path(__file__).parents[2] / "serving" / "deploy"


@pytest.fixture
def hali(server):
    with HaliClient(server.grpc, "toy", label="stable", timeout=60) as client:
        yield client


def test_all_calls_agree_with_the_model(hali):
    images = toy_models.images(5)
    assert hali.num_levels == 2
    assert hali.image_shape == (toy_models.SIZE, toy_models.SIZE, 1)
    (z_1, z_1_stddev), (z_2, z_2_stddev) = hali.encode(images)
    np.testing.assert_allclose(z_2, toy_models.expected_z_2(images, 1))
    assert z_1.shape == z_1_stddev.shape == (5, 2, 2, 1)
    assert np.all(z_2_stddev == 1)
    assert np.array_equal(hali.decode(z_2), images + 2)  # encode and decode add the version
    assert np.array_equal(hali.decode(z_1, level=1), images + 2)
    upper, lower = hali.reconstruct(images)
    assert np.array_equal(upper, images + 1) and np.array_equal(lower, images - 1)
    classes, scores = hali.classify(images)
    assert classes.tolist() == [list(toy_models.CLASSES)] * 5
    np.testing.assert_allclose(scores[:, 1], images[:, 0, 0, 0] * 2.0)
    assert hali.sample([3, 4])[:, 0, 0, 0].tolist() == [3 * 31 + 1, 4 * 31 + 1]


def test_a_thousand_images(hali):
    images = toy_models.images(1000)
    np.testing.assert_allclose(hali.encode(images)[1][0], toy_models.expected_z_2(images, 1))


def test_version_and_label_choose_the_model(server):
    images = toy_models.images(1)
    for choice, version in (({"version": 1}, 1), ({"label": "canary"}, 2), ({}, 2)):
        with HaliClient(server.grpc, "toy", **choice) as hali:
            np.testing.assert_allclose(
                hali.encode(images)[1][0], toy_models.expected_z_2(images, version)
            )


@pytest.mark.parametrize(
    "choice, code",
    [
        ({"version": 9}, grpc.StatusCode.NOT_FOUND),
        ({"model": "nobody"}, grpc.StatusCode.NOT_FOUND),
        ({"label": "gold"}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_is_not_served(server, choice, code):
    with HaliClient(server.grpc, **{"model": "toy", **choice}) as hali:
        with pytest.raises(HaliClientError) as caught:
            hali.sample([1])
    assert caught.value.code == code and "\n" not in str(caught.value)


def test_the_command(server, tmp_path, capsys):
    for index, level in enumerate((50, 90)):
        Image.new("L", (30, 20), level).save(tmp_path / f"{index}.png")
    common = [f"--target={server.grpc}", "--model=toy", "--label=stable"]

    def run(*arguments):
        assert command.main([*arguments, *common]) == 0, capsys.readouterr().err

    run("encode", f"--image={tmp_path}", f"--out={tmp_path}/latents.json")
    run("decode", f"--latents={tmp_path}/latents.json", f"--out={tmp_path}/decoded.npy")
    assert np.load(tmp_path / "decoded.npy")[:, 0, 0, 0].tolist() == [52, 92]
    run("reconstruct", f"--image={tmp_path}/0.png", f"--out={tmp_path}/grid.png")
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    assert grid[0, :: toy_models.SIZE + 2].tolist() == [50, 51, 49]


def test_what_the_client_sends_passes_the_deployments_batching(embed, toy_base):
    for path in ("base/config/server/batching.pbtxt", "gpu/batching.pbtxt"):
        target = embed(toy_base, batching=read_options(str(DEPLOY / path)))
        with HaliClient(target.grpc, "toy", timeout=60) as hali:
            images = toy_models.images(200)
            np.testing.assert_allclose(
                hali.encode(images)[1][0], toy_models.expected_z_2(images, 2)
            )
        with HaliClient(target.grpc, "toy", max_batch=100, timeout=60) as hali:
            with pytest.raises(HaliClientError, match="lower max_batch") as caught:
                hali.encode(images)
        assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_calls_of_many_messages_through_a_hot_swap(embed, tmp_path):
    toy_models.save(str(tmp_path), 1)
    target = embed(tmp_path)
    images, seen, failures, stop = toy_models.images(300), set(), [], threading.Event()

    def call():
        with HaliClient(target.grpc, "toy", max_batch=30, timeout=60) as hali:
            while not stop.is_set():
                try:
                    z_2 = hali.encode(images)[1][0]
                except HaliClientError as error:
                    failures.append(str(error))
                    return
                versions = np.unique(np.round(z_2 - toy_models.expected_z_2(images, 0), 3))
                seen.add(tuple(versions.tolist()))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version in (2, 3):
        toy_models.save(str(tmp_path), version)
        deadline = time.monotonic() + 30
        while (float(version),) not in seen and not failures and time.monotonic() < deadline:
            time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert seen == {(1.0,), (2.0,), (3.0,)}  # each answer from one version as a whole


def test_the_walk_of_the_readme_from_canary_to_rollback(embed, tmp_path):
    for version in (1, 2):
        toy_models.save(str(tmp_path), version)
    config = text_format.Parse(
        (DEPLOY / "base/config/models/models.config").read_text(),
        model_server_config_pb2.ModelServerConfig(),
    )
    (model,) = config.model_config_list.config
    model.base_path = str(tmp_path)
    target = embed(config.model_config_list, allow_version_labels_for_unavailable_models=True)

    def apply():
        request = model_management_pb2.ReloadConfigRequest(config=config)
        target.model.HandleReloadConfigRequest(request, timeout=60)

    def answers(label=None):
        with HaliClient(target.grpc, label=label, timeout=60) as hali:
            return int(hali.sample([0])[0, 0, 0, 0])  # the toy's sample of seed 0 is its version

    def is_state(version, state):
        return target.status("hali").get(version, [""])[0] == state

    policy, labels = model.model_version_policy.specific, model.version_labels
    assert (answers("stable"), answers("canary"), answers()) == (1, 1, 1)  # 2 is there, unserved

    policy.versions.append(2)
    apply()
    wait_for(lambda: is_state(2, "AVAILABLE"))
    assert (answers("stable"), answers("canary"), answers()) == (1, 1, 2)
    labels["canary"] = 2
    apply()
    assert (answers("stable"), answers("canary")) == (1, 2)
    labels["stable"] = 2  # promotion
    apply()
    assert answers("stable") == 2
    labels["stable"] = labels["canary"] = 1  # rollback, and version 2 goes in the same edit
    policy.versions[:] = [1]
    apply()
    assert (answers("stable"), answers("canary")) == (1, 1)
    wait_for(lambda: is_state(2, "END"))
    assert answers() == 1
