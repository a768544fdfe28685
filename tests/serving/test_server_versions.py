"""Versions come and go: hot swap, broken ones, policies, labels, warm-up."""

import os
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_pb2

from hali_tf.errors import UserError
from serving.embedded import manager
from serving.embedded.batching import BatchingOptions
from serving.embedded.endpoints import HEALTH_NAMES
from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from tests.serving import toy_models as toy
from tests.serving.serving_calls import fails, reload_request, target_of, wait_for


@pytest.mark.parametrize("batched", [False, True])
def test_hot_swap_without_a_failed_call(embed, tmp_path, batched):
    """Four clients call without pause while versions 2 and 3 appear and 1 disappears."""
    toy.save(str(tmp_path), 1)
    batching = BatchingOptions(max_batch_size=12, batch_timeout_micros=500) if batched else None
    server = embed(tmp_path, batching=batching)
    stop = threading.Event()
    seen, errors = [[] for _ in range(4)], []

    def client(index):
        while not stop.is_set():
            try:
                seen[index].append(toy.ask(server))
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=client, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: errors or all(seen))
    for version in (2, 3):
        toy.save(str(tmp_path), version)
        wait_for(lambda v=version: server.status().get(v, "")[0:1] == ("AVAILABLE",))
        if version == 2:
            shutil.rmtree(tmp_path / "1")
        wait_for(lambda v=version: server.status()[v - 1][0] == "END")
        wait_for(lambda v=version: errors or all(answers[-1:] == [v] for answers in seen))
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not errors
    for answers in seen:
        assert answers == sorted(answers) and set(answers) == {1, 2, 3}
    assert server.status() == {3: ("AVAILABLE", 0, ""), 2: ("END", 0, ""), 1: ("END", 0, "")}


def test_a_server_that_never_looks_again_rests(tmp_path, monkeypatch):
    steps = []
    step = manager.ModelManager._step
    monkeypatch.setattr(
        manager.ModelManager, "_step", lambda self: (steps.append(self), step(self))
    )
    never = manager.ModelManager(lambda *version: None, poll_seconds=-1)
    never.start(one_model("toy", str(tmp_path)))
    time.sleep(0.3)
    never.close(1)
    assert 1 <= len(steps) <= 3


def test_request_in_flight_finishes_on_the_old_version(tmp_path):
    toy.save(str(tmp_path), 1)
    options = ServerOptions(one_model("toy", tmp_path), port=0, file_system_poll_wait_seconds=0.05)
    with EmbeddedServer(options) as embedded:
        server = target_of(embedded)
        with embedded.manager.lease(model_pb2.ModelSpec(name="toy")) as old:  # what a request holds
            toy.save(str(tmp_path), 2)
            wait_for(lambda: server.status().get(1, ("",))[0] == "UNLOADING")
            assert toy.ask(server) == 2
            signature = old.signatures["slow"]
            feeds = {signature.inputs["x"].name: np.zeros((1, 4), np.float32)}
            assert old.run(feeds, (signature.outputs["y"].name,))[0][0, 0] == 1
            assert server.status()[1][0] == "UNLOADING"
        wait_for(lambda: server.status()[1][0] == "END")


def test_a_version_that_is_wanted_again_while_it_unloads(tmp_path):
    toy.save(str(tmp_path), 1)
    models = one_model("toy", tmp_path)
    with EmbeddedServer(ServerOptions(models, port=0, allow_reload=True)) as embedded:
        server = target_of(embedded)
        with embedded.manager.lease(model_pb2.ModelSpec(name="toy")) as old:
            reload(server, type(models)())
            wait_for(lambda: server.status()[1][0] == "UNLOADING")
            reload(server, models)
            with embedded.manager.lease(model_pb2.ModelSpec(name="toy")) as new:
                assert new is not old
            assert toy.ask(server) == 1
            assert embedded.manager.leaving
        wait_for(lambda: not embedded.manager.leaving)
        with pytest.raises(tf.errors.CancelledError, match="Session has been closed"):
            old.run({}, ("x",))
        assert toy.ask(server) == 1


def test_another_base_path_is_said_to_replace_no_version_that_is_loaded(embed, tmp_path, caplog):
    for folder in ("old", "new"):
        toy.save(str(tmp_path / folder), 1)
    server = embed(tmp_path / "old")
    reload(server, one_model("toy", tmp_path / "new"))
    assert "toy has another base path" in caplog.text
    assert toy.ask(server) == 1


def test_version_policies(embed, tmp_path):
    for version in (1, 2, 10):
        toy.save(str(tmp_path), version, warmup=())
    states = {}
    for policy in ("latest", "latest_2", "all", "specific"):
        models = one_model("toy", tmp_path)
        wanted = models.config[0].model_version_policy
        if policy == "specific":
            wanted.specific.versions.extend([1, 2])
        elif policy == "all":
            wanted.all.SetInParent()
        else:
            wanted.latest.num_versions = 2 if policy == "latest_2" else 1
        server = embed(models)
        states[policy] = sorted(server.status())
        assert toy.ask(server) == max(states[policy])
    assert states == {"latest": [10], "latest_2": [2, 10], "all": [1, 2, 10], "specific": [1, 2]}


def reload(server, models):
    return server.model.HandleReloadConfigRequest(reload_request(models), timeout=30)


def test_canary_promotion_rollback(embed, tmp_path):
    for version in (1, 2):
        toy.save(str(tmp_path), version)

    def config(versions, **labels):
        models = one_model("toy", tmp_path)
        models.config[0].model_version_policy.specific.versions.extend(versions)
        models.config[0].version_labels.update(labels)
        return models

    server = embed(config([1], stable=1), allow_version_labels_for_unavailable_models=True)
    assert toy.ask(server, label="stable") == 1
    with fails(StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: canary"):
        toy.ask(server, label="canary")
    # A label that exists moves only to what is loaded already, not in the edit that loads it.
    with fails(StatusCode.FAILED_PRECONDITION, "Request to assign label to version 2 of model toy"):
        reload(server, config([1, 2], stable=2))
    with fails(StatusCode.NOT_FOUND, "Specific(toy, 2)"):
        toy.ask(server, version=2)
    reload(server, config([1, 2], stable=1))
    reload(server, config([1, 2], stable=1, canary=2))
    assert (toy.ask(server, label="stable"), toy.ask(server, label="canary")) == (1, 2)
    reload(server, config([1, 2], stable=2))
    assert toy.ask(server, label="stable") == 2
    with fails(StatusCode.FAILED_PRECONDITION, "Request to assign label to version 7 of model toy"):
        reload(server, config([1, 2], stable=7))
    assert toy.ask(server, label="stable") == 2
    with fails(StatusCode.INVALID_ARGUMENT, "multiple times"):
        twice = config([1])
        twice.config.add().CopyFrom(twice.config[0])
        reload(server, twice)
    reload(server, config([1], stable=1))
    assert toy.ask(server) == 1
    wait_for(lambda: server.status()[2][0] == "END")


def test_a_label_that_stays_is_not_checked_again(embed, tmp_path):
    """It may name a version that went away: other changes must not be held up by it."""
    toy.save(str(tmp_path), 1)
    models = one_model("toy", tmp_path)
    models.config[0].version_labels["old"] = 7
    server = embed(models, allow_version_labels_for_unavailable_models=True)
    models.config[0].version_labels["stable"] = 1
    reload(server, models)
    assert toy.ask(server, label="stable") == 1


def test_a_broken_version_does_not_hold_up_the_configuration(embed, tmp_path):
    """Its further attempts are minutes away; the correction is applied at once."""
    for version in (1, 2, 3):
        toy.save(str(tmp_path), version)
    toy.drop_variables(tmp_path / "2")
    server = embed(
        specific(tmp_path, 1), max_num_load_retries=5, load_retry_interval_micros=600_000_000
    )
    reload(server, specific(tmp_path, 1, 2))
    assert toy.ask(server) == 1
    assert server.status()[2][0] == "LOADING" and server.status()[2][1] != 0
    reload(server, specific(tmp_path, 1, 3))
    assert toy.ask(server) == 3


def test_a_version_is_looked_for_at_the_corrected_path(embed, tmp_path):
    for folder in ("wrong", "right", "other"):
        toy.save(str(tmp_path / folder), 1)
    toy.drop_variables(tmp_path / "wrong" / "1")
    models, other = one_model("toy", tmp_path / "wrong"), one_model("other", tmp_path / "other")
    models.config.add().CopyFrom(other.config[0])
    server = embed(other, max_num_load_retries=0)
    with fails(StatusCode.UNKNOWN, "did not become available"):
        reload(server, models)
    models.config[0].base_path = str(tmp_path / "right")
    reload(server, models)
    assert toy.ask(server) == 1


def specific(base_path, *versions):
    models = one_model("toy", base_path)
    models.config[0].model_version_policy.specific.versions.extend(versions)
    return models


def test_the_managers_thread_survives(embed, tmp_path, monkeypatch, caplog):
    toy.save(str(tmp_path), 1)
    server = embed(tmp_path)
    look, failures = manager.aspired_versions, [RuntimeError("a bug")]

    def fail_once(config):
        if failures:
            raise failures.pop()
        return look(config)

    monkeypatch.setattr(manager, "aspired_versions", fail_once)
    wait_for(lambda: not failures)
    toy.save(str(tmp_path), 2)
    wait_for(lambda: toy.ask(server) == 2)
    assert "looking for versions failed" in caplog.text and "a bug" in caplog.text


@pytest.mark.parametrize("has_left", [False, True])
def test_a_reload_that_is_corrected_ends(toy_base, tmp_path, has_left):
    """It waits for a model without a version; its caller still waits, or waits no more."""
    options = ServerOptions(
        one_model("toy", toy_base), port=0, grpc_max_threads=2, allow_reload=True
    )
    with EmbeddedServer(options) as embedded:
        server = target_of(embedded)
        toy.ask(server)  # is connected
        request = reload_request(one_model("empty", tmp_path))
        waits = server.model.HandleReloadConfigRequest.future(
            request, timeout=1 if has_left else 60
        )
        wait_for(lambda: "empty" in embedded.manager.configs)
        if has_left:
            assert waits.code() == StatusCode.DEADLINE_EXCEEDED
        assert len(embedded._grpc._threads.calls) == 1 and waits.done() == has_left
        reload(server, one_model("corrected", toy_base))
        assert toy.ask(server, name="corrected") == 2
        assert has_left or waits.result() is not None
        wait_for(lambda: not embedded._grpc._threads.calls)


def test_label_for_a_version_that_is_not_there(tmp_path):
    toy.save(str(tmp_path), 1)
    models = one_model("toy", tmp_path)
    models.config[0].version_labels["stable"] = 2
    with pytest.raises(UserError, match="assign label to version 2 of model toy"):
        EmbeddedServer(ServerOptions(models, port=0)).start()
    options = ServerOptions(models, port=0, allow_version_labels_for_unavailable_models=True)
    with EmbeddedServer(options) as embedded:
        with fails(StatusCode.NOT_FOUND, "Specific(toy, 2)"):
            toy.ask(target_of(embedded), label="stable")


def test_base_path_goes_away_for_a_while(embed, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    toy.save(str(base), 1)
    server = embed(base)
    os.rename(base, tmp_path / "elsewhere")
    time.sleep(0.3)
    assert toy.ask(server) == 1


def test_health_follows_the_configuration(toy_base, tmp_path):
    with EmbeddedServer(ServerOptions(one_model("toy", toy_base), port=0)) as embedded:
        stub = health_pb2_grpc.HealthStub(target_of(embedded).channel)

        def is_serving():
            status = stub.Check(health_pb2.HealthCheckRequest(), timeout=30).status
            return status == health_pb2.HealthCheckResponse.SERVING

        wait_for(is_serving)
        models = one_model("toy", toy_base)
        models.config.add().CopyFrom(one_model("empty", tmp_path).config[0])
        embedded.manager.apply(models)
        wait_for(lambda: not is_serving())
        embedded.manager.apply(one_model("toy", toy_base))  # nothing is loaded or unloaded
        wait_for(is_serving)


def test_health_follows_the_model(tmp_path):
    embedded = EmbeddedServer(
        ServerOptions(one_model("toy", tmp_path), port=0, file_system_poll_wait_seconds=0.05)
    )
    embedded.listen()
    server = target_of(embedded)
    stub = health_pb2_grpc.HealthStub(server.channel)
    kind = health_pb2.HealthCheckResponse

    def health(name=""):
        return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30).status

    try:
        assert health() == kind.NOT_SERVING
        with fails(StatusCode.NOT_FOUND, "Servable not found for request: Latest(toy)"):
            toy.ask(server)
        toy.save(str(tmp_path), 1)
        wait_for(lambda: health() == kind.SERVING)
        assert {health(name) for name in HEALTH_NAMES} == {kind.SERVING}
        with fails(StatusCode.NOT_FOUND):
            health("nothing")
    finally:
        embedded.stop()
