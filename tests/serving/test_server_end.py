"""The end of a server: what `stop` does to those who call, on both ports."""

import contextlib
import http.client
import json
import os
import threading
import time

import grpc
import numpy as np
from grpc import StatusCode

from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from tests.serving import toy_models as toy
from tests.serving.serving_calls import listens, reload_request, target_of, wait_for

PREDICT = "/v1/models/toy:predict"
SLOW = {"signature_name": "slow", "instances": [[1, 2, 3, 4]]}


def test_calls_while_the_server_stops_are_answered_or_unavailable(toy_base):
    options = ServerOptions(one_model("toy", toy_base), port=0, refusal_seconds=5)
    embedded = EmbeddedServer(options)
    embedded.start()

    @contextlib.contextmanager
    def caller():
        server = target_of(embedded)

        def call():
            try:
                toy.ask(server)
            except grpc.RpcError as error:
                return error.code(), error.details()

        yield call

    refusals = _stop_under_load(embedded, caller)
    assert refusals == [(StatusCode.UNAVAILABLE, "the server is shutting down")] * 16


def test_rest_calls_while_the_server_stops_are_answered_or_unavailable(toy_base):
    """Nobody finds a connection reset."""
    options = ServerOptions(
        one_model("toy", toy_base), port=None, rest_api_port=0, refusal_seconds=5
    )
    embedded = EmbeddedServer(options)
    embedded.start()
    body = json.dumps({"signature_name": "sample", "instances": [1]})

    @contextlib.contextmanager
    def caller():
        address = ("localhost", embedded.rest_api_port)
        with contextlib.closing(http.client.HTTPConnection(*address, timeout=60)) as connection:

            def call():
                try:
                    connection.request("POST", PREDICT, body)
                    answer = connection.getresponse()
                    text = answer.read()
                except (OSError, http.client.HTTPException) as error:
                    return error
                return None if answer.status == 200 else (answer.status, json.loads(text))

            yield call

    refusals = _stop_under_load(embedded, caller)
    assert refusals == [(503, {"error": "the server is shutting down"})] * 16


def test_a_rest_client_that_pauses_while_the_server_stops_is_told_so(toy_base):
    """Whoever kept a connection is refused on it, and connects elsewhere."""
    options = ServerOptions(
        one_model("toy", toy_base), port=None, rest_api_port=0, refusal_seconds=5
    )
    embedded = EmbeddedServer(options)
    embedded.start()
    stop = threading.Thread(target=embedded.stop, daemon=True)
    connection = http.client.HTTPConnection("localhost", embedded.rest_api_port, timeout=60)
    with contextlib.closing(connection):
        answers = []
        for pause in (0, 2):
            time.sleep(pause)
            body = json.dumps({"signature_name": "sample", "instances": [1]})
            connection.request("POST", PREDICT, body)
            answer = connection.getresponse()
            answer.read()
            answers.append((answer.status, answer.getheader("Connection")))
            if not pause:
                stop.start()
        assert answers == [(200, None), (503, "close")]
        stop.join(20)  # though the client has not closed its end
        assert not stop.is_alive()


def _stop_under_load(embedded, caller):
    """What 16 callers meet first that is no answer while the server stops."""
    begun, refusals = threading.Barrier(17, timeout=90), []

    def client(pause):
        with caller() as call:
            assert call() is None
            begun.wait()
            while (refusal := call()) is None:
                time.sleep(pause)
        refusals.append(refusal)

    # Every second one pauses between two calls, as on a busy machine.
    threads = [
        threading.Thread(target=client, args=[0.3 * (i % 2)], daemon=True) for i in range(16)
    ]
    for thread in threads:
        thread.start()
    begun.wait()
    time.sleep(0.1)
    embedded.stop()
    for thread in threads:
        thread.join(60)
    return refusals


def test_both_ports_close_at_once_and_what_is_in_flight_is_answered(tmp_path):
    gate = tmp_path / "gate"
    toy.save(str(tmp_path), 1, gate=str(gate), warmup=())
    options = ServerOptions(one_model("toy", tmp_path), port=0, rest_api_port=0, drain_seconds=600)
    embedded = EmbeddedServer(options)
    embedded.start()
    server, answers = target_of(embedded), {}
    calls = {
        "gRPC": lambda: server.predict({"x": np.ones((1, 4), np.float32)}, "slow")["y"].tolist(),
        "REST": lambda: server.http(PREDICT, SLOW),
    }
    threads = []
    try:
        for name, call in calls.items():
            thread = threading.Thread(
                target=lambda name=name, call=call: answers.update({name: call()}), daemon=True
            )
            thread.start()
            threads.append(thread)
            wait_for(lambda: os.path.exists(toy.reached(gate)))
            os.remove(toy.reached(gate))
        stop = threading.Thread(target=embedded.stop, daemon=True)
        stop.start()
        threads.append(stop)
        wait_for(lambda: not listens(embedded.port) and not listens(embedded.rest_api_port), 20)
        assert not answers
    finally:
        gate.touch()
    for thread in threads:
        thread.join(30)
    assert not stop.is_alive()
    assert answers == {"gRPC": [[2, 2, 2, 2]], "REST": (200, {"predictions": [[2, 3, 4, 5]]})}


def test_a_reload_that_another_replaces_before_it_waits_ends(toy_base):
    with EmbeddedServer(ServerOptions(one_model("toy", toy_base), port=0)) as embedded:
        more = one_model("toy", toy_base)
        more.config.add().CopyFrom(one_model("other", toy_base).config[0])
        new = embedded.manager.apply(more)
        embedded.manager.apply(one_model("toy", toy_base))
        embedded.manager.wait_until_settled(new)


def test_a_pending_reload_does_not_hold_up_the_end(toy_base, tmp_path):
    """Though calls in flight have ten minutes."""
    options = ServerOptions(
        one_model("toy", toy_base), port=0, allow_reload=True, drain_seconds=600
    )
    embedded = EmbeddedServer(options)
    embedded.start()
    request = reload_request(one_model("empty", tmp_path))
    call = target_of(embedded).model.HandleReloadConfigRequest.future(request, timeout=600)
    wait_for(lambda: "empty" in embedded.manager.configs)
    stop = threading.Thread(target=embedded.stop, daemon=True)
    stop.start()
    stop.join(20)
    ended = not stop.is_alive()
    embedded.manager.interrupt()  # so that the test ends in any case
    assert ended and call.code() == StatusCode.UNAVAILABLE
