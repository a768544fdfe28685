"""The REST API. Runs unchanged against the stock server (see conftest.py)."""

import asyncio
import base64
import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf

from serving.embedded import json_tensors
from serving.embedded import rest as rest_module
from serving.embedded.metrics import Metrics
from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from serving.embedded.status import ServingError
from tests.serving import toy_models as toy
from tests.serving.serving_calls import target_of, wait_for

PREDICT = "/v1/models/toy:predict"


def test_rows(rest):
    images = toy.images(3)
    status, answer = rest.http(PREDICT, {"instances": images.tolist()})
    assert status == 200
    rows = answer["predictions"]
    assert sorted(rows[0]) == ["z_1", "z_1_stddev", "z_2", "z_2_stddev"]
    np.testing.assert_allclose([row["z_2"] for row in rows], toy.expected_z_2(images, 2))


def test_columns(rest):
    images = toy.images(3)
    status, answer = rest.http(
        "/v1/models/toy/versions/1:predict",
        {"signature_name": "encode", "inputs": {"images": images.tolist()}},
    )
    assert status == 200
    np.testing.assert_allclose(answer["outputs"]["z_2"], toy.expected_z_2(images, 1))


def test_one_output_comes_without_its_name(rest):
    body = {"signature_name": "decode", "instances": [[1.5, 0, 0, 0], [2, 0, 0, 0]]}
    images = np.array(rest.http(PREDICT, body)[1]["predictions"])
    assert images.shape == (2, 8, 8, 1) and images[:, 0, 0, 0].tolist() == [3, 4]
    body = {"signature_name": "decode", "inputs": [[1.5, 0, 0, 0]]}
    assert np.array(rest.http(PREDICT, body)[1]["outputs"]).shape == (1, 8, 8, 1)


def test_several_inputs(rest):
    row = {"a": [1, 2], "b": [0.5, 0]}
    status, answer = rest.http(PREDICT, {"signature_name": "add", "instances": [row, row]})
    assert status == 200
    assert answer["predictions"] == [{"sum": [1.5, 2.0], "difference": [0.5, 2.0]}] * 2
    columns = {"a": [[1, 2]], "b": [[3, 4]]}
    status, answer = rest.http(PREDICT, {"signature_name": "add", "inputs": columns})
    assert answer["outputs"] == {"sum": [[4.0, 6.0]], "difference": [[-2.0, -2.0]]}


def test_binary_values(rest):
    data = toy.example(toy.images(1)[0]).SerializeToString()
    item = {"b64": base64.b64encode(data).decode()}
    body = {"signature_name": "classify_examples", "instances": [item, item]}
    status, answer = rest.http("/v1/models/toy/labels/stable:predict", body)
    assert status == 200
    assert answer["predictions"][1] == {"classes": ["cat", "dog", "hen"], "scores": [1.0, 0.0, 0.0]}


def test_classify(rest):
    png = toy.example(toy.images(2)[1]).features.feature["image/encoded"].bytes_list.value[0]
    example = {"image/encoded": {"b64": base64.b64encode(png).decode()}}
    body = {"signature_name": "classify_examples", "examples": [example]}
    status, answer = rest.http("/v1/models/toy:classify", body)
    assert status == 200
    assert answer == {"results": [[["cat", 9.0], ["dog", 14.0], ["hen", 21.0]]]}
    body = {"signature_name": "classify_examples", "context": example, "examples": [{}]}
    assert rest.http("/v1/models/toy:classify", body) == (status, answer)


def test_status_and_metadata(rest):
    status, answer = rest.http("/v1/models/toy/versions/1")
    assert status == 200
    fine = {"error_code": "OK", "error_message": ""}
    assert answer == {
        "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": fine}]
    }
    status, answer = rest.http("/v1/models/toy/metadata")
    assert status == 200
    assert answer["model_spec"]["name"] == "toy" and answer["model_spec"]["version"] == "2"
    decode = answer["metadata"]["signature_def"]["signature_def"]["decode"]
    assert decode["inputs"]["z_2"]["dtype"] == "DT_FLOAT"


IMAGE = toy.images(1).tolist()


@pytest.mark.parametrize(
    "path, body, status, message",
    [
        (
            "/v1/models/m:predict",
            {"instances": IMAGE},
            404,
            "Servable not found for request: Latest(m)",
        ),
        (
            "/v1/models/toy/versions/9:predict",
            {"instances": IMAGE},
            404,
            "Servable not found for request: Specific(toy, 9)",
        ),
        (
            "/v1/models/toy/labels/x:predict",
            {"instances": IMAGE},
            400,
            "Unrecognized servable version label: x",
        ),
        (
            PREDICT,
            {"signature_name": "x", "instances": IMAGE},
            400,
            'Serving signature name: "x" not found in signature def',
        ),
        (PREDICT, {"signature_name": 3, "instances": IMAGE}, 400, "must be a string value"),
        (PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
        (PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
        (PREDICT, {"instances": 3}, 400, "Expecting 'instances' to be an list/array"),
        (PREDICT, {"instances": IMAGE, "inputs": IMAGE}, 400, "expecting only one"),
        (PREDICT, {"instances": [[[["a"]]]]}, 400, 'JSON Value: "a" Type: String'),
        (PREDICT, {"instances": [[[[1.5]]]]}, 400, "JSON Value: 1.5 Type: Number"),
        (PREDICT, {"instances": [[[1], [1, 2]]]}, 400, "Encountered list at unexpected size: 2"),
        (PREDICT, {"instances": [[1], [[1]]]}, 400, ""),
        (PREDICT, {"inputs": {"x": 1}}, 400, "Missing named input: images in 'inputs' object."),
        (PREDICT, {"instances": [{"x": 1}]}, 400, ""),
        (PREDICT, {"signature_name": "add", "instances": [1]}, 400, "instances is a plain list"),
        (
            PREDICT,
            {"signature_name": "add", "instances": [{"b64": "AA=="}]},
            400,
            "instances is a plain list",
        ),
        (PREDICT, {"signature_name": "add", "inputs": [1]}, 400, "inputs is a plain value/list"),
        (
            PREDICT,
            {"signature_name": "classify_examples", "instances": [{"b64": "%"}]},
            400,
            "Unable to base64 decode",
        ),
        (PREDICT, b"", 400, "The document is empty"),
        (PREDICT, b"{", 400, "JSON Parse error"),
        (PREDICT, b"[1]", 400, "Is not object"),
        (PREDICT, b"\xff\xfe", 400, "JSON Parse error"),
        (PREDICT, b'{"inputs": ' + b"[" * 1200 + b"]" * 1200 + b"}", 400, ""),
        (f"/v1/models/toy/versions/{1 << 63}:predict", {}, 400, "Failed to convert version"),
        (f"/v1/models/toy/versions/{'9' * 5000}:predict", {}, 400, "Failed to convert version"),
        ("/v1/models/toy:classify", {}, 400, "'examples' is expected and was not found"),
        ("/v1/models/toy:classify", {"examples": []}, 400, "is an empty array"),
        ("/v1/models/toy:classify", {"examples": [{"\ud800": "x"}]}, 400, "unexpected JSON type"),
        ("/v1/models/toy:explain", {"instances": IMAGE}, 400, "Malformed request: POST"),
        ("/v1/models/m", None, 404, "Could not find any versions of model m"),
        ("/v1/models/m/metadata", None, 404, "Servable not found for request: Latest(m)"),
    ],
)
def test_errors(rest, path, body, status, message):
    found, answer = rest.http(path, body)
    assert found == status, answer
    assert message in answer["error"]


def test_idle_connections_stop_nobody(embed, toy_base):
    server = embed(toy_base, rest_api_port=0)
    port = int(server.rest.rsplit(":", 1)[1])
    with contextlib.ExitStack() as stack:
        for begun in [b""] * 150 + [b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Le"] * 150:
            connection = stack.enter_context(socket.create_connection(("localhost", port)))
            connection.sendall(begun)
        assert server.http("/v1/models/toy")[0] == 200
        assert server.http(PREDICT, {"instances": IMAGE})[0] == 200


@pytest.mark.parametrize("length", [str(1 << 45), "-1", "x"])
def test_lengths_that_cannot_be(embed, toy_base, length):
    server = embed(toy_base, rest_api_port=0)
    port = int(server.rest.rsplit(":", 1)[1])
    with socket.create_connection(("localhost", port), timeout=30) as connection:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_compressed_bodies(embed, toy_base):
    server = embed(toy_base, rest_api_port=0)
    body = gzip.compress(json.dumps({"signature_name": "decode", "instances": [[1] * 4]}).encode())
    request = urllib.request.Request(
        server.rest + PREDICT, body, {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["predictions"][0][0][0] == [3]


def test_a_body_that_grows_when_it_is_unpacked(embed, toy_base):
    server = embed(toy_base, rest_api_port=0)
    bomb = gzip.compress(b" " * (33 << 20))
    request = urllib.request.Request(server.rest + PREDICT, bomb, {"Content-Encoding": "gzip"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    with caught.value as answer:
        assert answer.code in (400, 413)  # as Tornado or this server finds it
    assert server.http("/v1/models/toy")[0] == 200


def test_a_caller_that_goes_in_the_middle_of_a_body_leaves_nothing(toy_base):
    options = ServerOptions(one_model("toy", toy_base), port=None, rest_api_port=0)
    with EmbeddedServer(options) as embedded:
        loop, address = embedded._rest._loop, ("localhost", embedded.rest_api_port)

        async def requests():
            return [task for task in asyncio.all_tasks() if "_execute" in repr(task)]

        def count():
            return len(asyncio.run_coroutine_threadsafe(requests(), loop).result(30))

        with socket.create_connection(address) as connection:
            head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
            connection.sendall(head.encode() + b"{")
            wait_for(lambda: count() == 1)
        wait_for(lambda: count() == 0)


def test_a_large_answer_is_sent_whole_before_the_end(toy_base):
    rows = 30_000  # 10 MB of JSON: more than the buffers of two sockets
    models = one_model("toy", toy_base)
    embedded = EmbeddedServer(ServerOptions(models, port=None, rest_api_port=0, max_examples=rows))
    embedded.start()
    request = {"signature_name": "decode", "instances": rows * [[1, 1, 1, 1]]}
    body = json.dumps(request).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    stop = threading.Thread(target=embedded.stop)
    address = ("localhost", embedded.rest_api_port)
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(head.encode() + body)
        received = connection.recv(1)  # it has been computed
        stop.start()
        time.sleep(0.5)
        received += b"".join(iter(lambda: connection.recv(1 << 16), b""))
    stop.join(60)
    head, _, answer = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(json.loads(answer)["predictions"]) == rows


def test_connections_are_limited(embed, toy_base, monkeypatch):
    monkeypatch.setattr(rest_module, "_MAX_CONNECTIONS", 2)
    server = embed(toy_base, rest_api_port=0)
    port = int(server.rest.rsplit(":", 1)[1])
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(("localhost", port)))
        with socket.create_connection(("localhost", port), timeout=30) as third:
            assert third.recv(1) == b""  # closed
    wait_for(lambda: _answers(server))


def _answers(server):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return server.http("/v1/models/toy")[0] == 200


def test_rest_requests_beyond_those_that_may_wait(embed, tmp_path):
    gate = tmp_path / "gate"
    toy.save(str(tmp_path), 1, gate=str(gate), warmup=())
    options = {"rest_api_num_threads": 1, "max_waiting_requests": 1, "rest_api_port": 0}
    server = embed(tmp_path, **options)
    body = {"signature_name": "slow", "instances": [[1, 2, 3, 4]]}
    with futures.ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(server.http, PREDICT, body) for _ in range(6)]
        wait_for(lambda: sum(call.done() for call in calls) == 4)
        gate.touch()
    assert sorted(call.result()[0] for call in calls) == [200, 200, 503, 503, 503, 503]


def test_other_paths(rest):
    assert rest.http("/v2/models/toy")[0] == 404


def test_metrics_count_requests_by_status(embed, toy_base):
    server = embed(toy_base, rest_api_port=0)
    for _ in range(3):
        server.predict({"images": toy.images(1)}, "encode")
    server.http(PREDICT, {"signature_name": "decode", "instances": [[1, 2, 3, 4]]})
    for index in range(5):  # whatever names a client makes up, they do not become labels
        server.http(f"/v1/models/made_up_{index}:predict", {"instances": IMAGE})
        server.http(PREDICT, {"signature_name": f"made_up_{index}", "instances": IMAGE})
    status, page = server.http("/monitoring/prometheus/metrics")
    assert status == 200 and "made_up" not in page
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    count = ":tensorflow:serving:request_count"
    encode = '{model_name="toy",signature_name="encode",status="OK"}'
    assert float(lines[count + encode]) == 3
    assert float(lines[count + '{model_name="",signature_name="",status="NOT_FOUND"}']) == 5
    latency = ":tensorflow:serving:request_latency_count"
    decode = '{API="Predict",entrypoint="REST",model_name="toy",signature_name="decode"}'
    assert float(lines[latency + decode]) == 1


def test_a_boolean_among_numbers_is_none(rest):
    for values in ([True, 2], [2, False], [True, True]):
        status, answer = rest.http(PREDICT, {"signature_name": "sample", "instances": values})
        assert status == 400 and "is not of expected type: int64" in answer["error"]


def test_requests_that_are_no_json_are_counted(embed, toy_base):
    server = embed(toy_base, rest_api_port=0)
    for method in ("predict", "classify", "classify"):
        assert server.http(f"/v1/models/toy:{method}", b"{")[0] == 400
    _, page = server.http("/monitoring/prometheus/metrics")
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    count = ":tensorflow:serving:request_count"
    labels = '{model_name="toy",signature_name="serving_default",status="INVALID_ARGUMENT"}'
    assert float(lines[count + labels]) == 3


def test_metrics_page_moves_and_goes(toy_base):
    models = one_model("toy", toy_base)
    for path in ("/metrics", ""):
        options = ServerOptions(models, port=None, rest_api_port=0, metrics_path=path)
        with EmbeddedServer(options) as embedded:
            server = _rest_only(embedded)
            assert server("/metrics") == (200 if path else 404)
            assert server("/monitoring/prometheus/metrics") == 404


def _rest_only(embedded):
    return lambda path: target_of(embedded).http(path)[0]


def test_timeout(embed, tmp_path):
    gate = tmp_path / "gate"
    toy.save(str(tmp_path), 1, gate=str(gate), warmup=())
    server = embed(tmp_path, rest_api_port=0, rest_api_timeout_in_ms=50, drain_seconds=0)
    status, answer = server.http(PREDICT, {"signature_name": "slow", "instances": [[1, 2, 3, 4]]})
    gate.touch()
    assert status == 504 and "not answered within" in answer["error"]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "bool", "string"])
def test_values_survive_both_ways(dtype):
    """read_inputs and write_outputs are each other's inverse."""
    values = {
        "bool": np.array([[True], [False]]),
        "string": np.array([[b"a"], [b"\xff\x00"]], object),
    }.get(dtype, np.array([[0.1 if "float" in dtype else 7], [3]], None))
    values = values.astype(object if dtype == "string" else dtype)
    enum = tf.dtypes.as_dtype(dtype).as_datatype_enum
    infos = {"x_bytes": _Info(enum)}
    document = json_tensors.write_outputs({"x_bytes": values}, by_row=True)
    document = json.loads(json.dumps({"instances": document["predictions"]}))
    by_row, arrays = json_tensors.read_inputs(document, infos)
    assert by_row and arrays["x_bytes"].dtype == values.dtype
    np.testing.assert_array_equal(arrays["x_bytes"], values)


def test_booleans_are_no_numbers_in_utf_16_either(rest):
    body = '{"signature_name": "sample", "instances": [true, 2]}'.encode("utf-16")
    status, answer = rest.http(PREDICT, body)
    assert status == 400 and "is not of expected type" in answer["error"]


@pytest.mark.parametrize(
    "work, most",
    [
        # As an array of text, 100 MB.
        (lambda: _read(["x" * 5000] + [""] * 5000), 5 * 2**20),
        # As text all at once, 128 MiB; 32 MiB are the numbers and their list.
        (lambda: json_tensors.write_outputs({"z": np.zeros(2**20, np.float32)}, False), 2**26),
    ],
    ids=["text where numbers are asked", "many numbers"],
)
def test_a_request_takes_no_more_memory_than_it_has_values(work, most):
    tracemalloc.start()
    try:
        work()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


def _read(instances):
    infos = {"x": _Info(tf.int64.as_datatype_enum)}
    with pytest.raises(ServingError, match="is not of expected type"):
        json_tensors.read_inputs({"instances": instances}, infos)


class _Info:
    def __init__(self, dtype):
        self.dtype = dtype


def test_latencies_are_microseconds():
    metrics = Metrics()
    metrics.record("toy", "encode", "Predict", "GRPC", "OK", 0.002)
    (line,) = (l for l in metrics.page().decode().splitlines() if "request_latency_sum{" in l)
    assert float(line.rpartition(" ")[2]) == pytest.approx(2000)
