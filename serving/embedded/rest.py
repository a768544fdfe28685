"""The REST API: the stock server's paths, JSON and metrics page, on an event loop.

A connection without a request costs no thread, so that thousands of them stop nobody.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import socket
import threading
from collections.abc import Awaitable
from concurrent import futures
from typing import Callable

import tornado.httpserver
import tornado.iostream
import tornado.netutil
import tornado.web
from google.protobuf import json_format, message
from grpc import StatusCode
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
)

from serving.embedded import inference, json_tensors
from serving.embedded.call_threads import CallThreads
from serving.embedded.core import Core
from serving.embedded.metrics import Metrics
from serving.embedded.scheduler import when_caller_goes
from serving.embedded.status import HTTP, ServingError, answer_to, invalid

_log = logging.getLogger("serving.rest")

METRICS_PATH = "/monitoring/prometheus/metrics"
_MAX_BODY_BYTES = 32 << 20  # JSON takes up to 25 times its length in memory
_MAX_CONNECTIONS = 4096
_IDLE_SECONDS = 60.0  # for the headers of the next request; then for its body

_MODEL = (
    r"(?i:/v1/models)/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
# One option of MessageToJson, two names: it was renamed in protobuf 5.
_WITH_DEFAULTS = next(
    name
    for name in ("including_default_value_fields", "always_print_fields_with_no_presence")
    if name in inspect.signature(json_format.MessageToJson).parameters
)
_POST = re.compile(_MODEL + r":(?P<method>(?i:predict|classify|regress))")
_GET = re.compile(_MODEL + r"(?P<metadata>/metadata)?")


class RestApi:
    """Paths and JSON documents to calls of the Core. Every call may raise a ServingError."""

    def __init__(self, core: Core):
        self._core = core

    async def get(self, path: str) -> str:
        """The JSON text of a model's status or metadata."""
        match = _GET.fullmatch(path)
        if not match:
            raise invalid(f"Malformed request: GET {path}")
        if not match["metadata"]:
            status = get_model_status_pb2.GetModelStatusRequest()
            _fill_spec(status.model_spec, match)
            return _message_json(self._core.status(status))
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill_spec(request.model_spec, match)
        response = self._core.metadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return (
            f'{{"model_spec": {_message_json(response.model_spec)}, '
            f'"metadata": {{"signature_def": {_message_json(signatures)}}}}}'
        )

    def post(self, path: str, body: bytes) -> str:
        """The JSON text of an answer to predict or classify."""
        match = _POST.fullmatch(path)
        if not match:
            raise invalid(f"Malformed request: POST {path}")
        method = match["method"].lower()
        if method == "regress":
            raise ServingError(StatusCode.UNIMPLEMENTED, "regress is not implemented")
        spec = model_pb2.ModelSpec()
        with self._core.counted(spec, method.capitalize(), "REST"):
            document = _read_request(body, match, spec)
            if method == "classify":
                return self._classify(spec, document)
            return self._predict(spec, document)

    def _classify(self, spec: model_pb2.ModelSpec, document: dict) -> str:
        request = classification_pb2.ClassificationRequest(model_spec=spec)
        json_tensors.fill_examples(request.input, document)
        with self._core.lease(spec) as servable:
            return _classifications_json(inference.classify(servable, request).result)

    def _predict(self, spec: model_pb2.ModelSpec, document: dict) -> str:
        key = inference.signature_key(spec)
        with self._core.lease(spec) as servable:
            signature = servable.signatures.get(key)
            if signature is None:
                raise invalid(f'Serving signature name: "{key}" not found in signature def')
            by_row, arrays = json_tensors.read_inputs(document, signature.inputs)
            aliases = sorted(signature.outputs)
            outputs = inference.predict_arrays(servable, signature, arrays, aliases)
        return json.dumps(json_tensors.write_outputs(outputs, by_row))


def _read_request(body: bytes, match: re.Match, spec: model_pb2.ModelSpec) -> dict:
    """Parses a document; the path and the document fill in the ModelSpec."""
    _fill_spec(spec, match)
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {json_tensors.excerpt(document)} Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {json_tensors.excerpt(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    try:
        spec.signature_name = name
    except ValueError:  # a lone surrogate
        raise invalid("JSON Parse error: 'signature_name' is not valid Unicode") from None
    return document


def _fill_spec(spec: model_pb2.ModelSpec, match: re.Match) -> None:
    spec.name = match["model"]
    if match["version"]:
        try:
            spec.version.value = int(match["version"])
        except ValueError:  # too long for 64 bits, or for Python
            raise invalid(f"Failed to convert version: {match['version']} to numeric.") from None
    if match["label"]:
        spec.version_label = match["label"]


def _message_json(proto: message.Message) -> str:
    return json_format.MessageToJson(
        proto, preserving_proto_field_name=True, **{_WITH_DEFAULTS: True}
    )


def _classifications_json(result: classification_pb2.ClassificationResult) -> str:
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = [
        [[entry.label, json_tensors.shortest(entry.score)] for entry in row.classes]
        for row in result.classifications
    ]
    return json.dumps({"results": rows})


@tornado.web.stream_request_body
class _Handler(tornado.web.RequestHandler):
    """One request. The body is taken as it comes; Tornado would look for form fields in it."""

    SUPPORTED_METHODS = ("GET", "POST")

    def initialize(self, endpoint: RestEndpoint) -> None:
        self._endpoint = endpoint
        self._body = bytearray()
        self._call: futures.Future = futures.Future()  # cancelled when nobody waits any more

    def data_received(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > _MAX_BODY_BYTES:  # it may have been compressed
            raise tornado.web.HTTPError(413)

    def on_connection_close(self) -> None:
        super().on_connection_close()  # ends the wait for the body
        self._call.cancel()

    async def get(self) -> None:
        endpoint, path = self._endpoint, self.request.path
        if path == endpoint.metrics_path:
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(endpoint.metrics.page())
            return
        await self._answer(lambda: endpoint.api.get(path))

    async def post(self) -> None:
        await self._answer(
            lambda: self._endpoint.submit(self._call, self.request.path, bytes(self._body))
        )

    async def _answer(self, begin: Callable[[], Awaitable[str]]) -> None:
        if not self.request.path.lower().startswith("/v1/"):
            self.set_status(404)
            return
        self.set_header("Content-Type", "application/json")
        try:
            self.finish(await begin())
        except Exception as error:
            failure = answer_to(error, _log)
            self.set_status(HTTP.get(failure.code, 500))
            self.finish(json.dumps({"error": failure.message}))


class _Server(tornado.httpserver.HTTPServer):
    """Closes connections beyond a number of them."""

    def handle_stream(self, stream: tornado.iostream.IOStream, address: tuple) -> None:
        if len(self._connections) >= _MAX_CONNECTIONS:
            stream.close()
        else:
            super().handle_stream(stream, address)


class RestEndpoint:
    """The REST server: an event loop for connections, threads for predictions.

    Args:
      core: answers.
      metrics: has the page.
      threads: predictions at a time.
      max_waiting: further ones that wait; beyond them the answer is UNAVAILABLE, at once.
      timeout_seconds: for a prediction; no limit where 0.
      metrics_path: where the page is; empty: nowhere.
    """

    def __init__(
        self,
        core: Core,
        metrics: Metrics,
        threads: int,
        max_waiting: int,
        timeout_seconds: float,
        metrics_path: str,
    ):
        self.api = RestApi(core)
        self.metrics = metrics
        self.metrics_path = metrics_path
        self._timeout = timeout_seconds or None
        self._threads = CallThreads(threads, max_waiting, "rest")  # calls outlive their callers
        self._open: set[asyncio.Task] = set()

    def start(self, host: str, port: int) -> int:
        """Takes the port and begins to answer; returns the port's number."""
        sockets = tornado.netutil.bind_sockets(port, host)  # before anything runs
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(
            target=self._loop.run_forever, name="rest-loop", daemon=True
        )
        self._loop_thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(sockets), self._loop).result()
        return sockets[0].getsockname()[1]

    async def _listen(self, sockets: list[socket.socket]) -> None:
        routes = [(".*", _Handler, {"endpoint": self})]
        self._server = _Server(
            tornado.web.Application(routes, log_function=lambda handler: None),
            decompress_request=True,
            max_body_size=_MAX_BODY_BYTES,
            idle_connection_timeout=_IDLE_SECONDS,
            body_timeout=_IDLE_SECONDS,
        )
        self._server.add_sockets(sockets)

    async def submit(self, call: futures.Future, path: str, body: bytes) -> str:
        """Answers a POST on a thread. Raises a ServingError."""
        if self._threads.is_full:
            raise ServingError(StatusCode.UNAVAILABLE, "too many requests wait already")
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        work = self._threads.submit(self._post, call, path, body)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(work), self._timeout)
        except asyncio.TimeoutError:
            text = f"not answered within {self._timeout:g} s"
            raise ServingError(StatusCode.DEADLINE_EXCEEDED, text) from None
        finally:
            call.cancel()
            self._open.discard(task)

    def _post(self, call: futures.Future, path: str, body: bytes) -> str:
        if call.cancelled():  # it waited for a thread
            raise ServingError(StatusCode.CANCELLED, "the caller has gone")
        when_caller_goes.set(lambda forget: call.add_done_callback(lambda _: forget()))
        return self.api.post(path, body)

    def refuse(self) -> None:
        """Every further answer ends its connection: its client connects to another server."""
        self._server.conn_params.no_keep_alive = True

    def stop(self, grace: float) -> None:
        """Takes nothing new and waits `grace` seconds for what is being answered."""
        asyncio.run_coroutine_threadsafe(self._drain(grace), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join()
        self._loop.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _drain(self, grace: float) -> None:
        end = self._loop.time() + grace
        self._server.stop()
        if self._open:
            await asyncio.wait(self._open, timeout=grace)
        while self._is_sending() and self._loop.time() < end:
            await asyncio.sleep(0.01)
        await self._server.close_all_connections()

    def _is_sending(self) -> bool:
        """Whether a part of an answer is still to be sent."""
        return any(connection.stream.writing() for connection in self._server._connections)
