"""The gRPC services: prediction, model and health, on one event loop.

The loop's thread parses, checks and answers; the models run on other threads. A call whose client
has gone or whose deadline is over is cancelled by gRPC, and its work with it if it has not begun.
"""

from __future__ import annotations

import asyncio
import logging
import time

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.embedded.status import as_serving_error

_log = logging.getLogger("serving.grpc")

HEALTH_NAMES = (
    "",
    "PredictionService",
    "ModelService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService."""

    def __init__(self, core, metrics):
        self._core = core
        self._metrics = metrics

    async def Predict(self, request, context):
        """See prediction_service.proto."""
        return await self._infer("Predict", self._core.predict, request, context)

    async def Classify(self, request, context):
        """See prediction_service.proto."""
        return await self._infer("Classify", self._core.classify, request, context)

    async def GetModelMetadata(self, request, context):
        """See prediction_service.proto."""
        return await _answer(self._core.metadata, request, context)

    async def Regress(self, request, context):
        """No signature of the project's regresses."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Regress is not implemented")

    async def MultiInference(self, request, context):
        """Nothing the project exports needs it."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "MultiInference is not implemented")

    async def _infer(self, api, begin, request, context):
        started = time.perf_counter()
        spec = request.model_spec
        failure = None
        try:
            call = begin(request)
            response = call.finish(await asyncio.wrap_future(call.future))
        except Exception as error:
            failure = as_serving_error(error)
            _note_bug(failure, error)
        except asyncio.CancelledError:
            self._metrics.record(*self._core.known_names(spec), api, "GRPC", "CANCELLED", 0)
            raise
        if failure is not None:
            names = self._core.known_names(spec)
            self._metrics.record(*names, api, "GRPC", failure.code.name, 0)
            await context.abort(failure.code, failure.short)
        seconds = time.perf_counter() - started
        signature = response.model_spec.signature_name
        self._metrics.record(spec.name, signature, api, "GRPC", "OK", seconds)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService."""

    def __init__(self, core):
        self._core = core

    async def GetModelStatus(self, request, context):
        """See model_service.proto."""
        return await _answer(self._core.status, request, context)

    async def HandleReloadConfigRequest(self, request, context):
        """See model_service.proto; answers when the new configuration is in force."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, self._core.reload, request)
        except Exception as error:
            failure = as_serving_error(error)
        await context.abort(failure.code, failure.short)


async def _answer(function, request, context):
    try:
        return function(request)
    except Exception as error:
        failure = as_serving_error(error)
        _note_bug(failure, error)
    await context.abort(failure.code, failure.short)


def _note_bug(failure, error) -> None:
    """An error that nobody foresaw is the server's own fault: leave a trace of it."""
    if failure.code == grpc.StatusCode.INTERNAL and failure is not error:
        _log.error("request failed: %s", failure.message, exc_info=error)


class _RefuseUnparsable(grpc.aio.ServerInterceptor):
    """Answers INVALID_ARGUMENT to bytes that are no message; gRPC would answer UNKNOWN and log."""

    def __init__(self):
        self._handlers = {}  # by method, of which there are few

    async def intercept_service(self, continuation, handler_call_details):
        """See grpc.aio.ServerInterceptor."""
        method = handler_call_details.method
        if method not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None or not method.startswith("/tensorflow.serving."):
                return handler
            self._handlers[method] = _refusing(handler)
        return self._handlers[method]


def _refusing(handler):
    def deserialize(data):
        try:
            return handler.request_deserializer(data)
        except DecodeError:
            return None

    async def answer(request, context):
        if request is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Error parsing the request")
        return await handler.unary_unary(request, context)

    return grpc.unary_unary_rpc_method_handler(answer, deserialize, handler.response_serializer)


class GrpcEndpoint:
    """The gRPC server. Its methods are coroutines of one event loop."""

    def __init__(self, core, metrics):
        self._core = core
        self._metrics = metrics
        self._health = health.aio.HealthServicer()
        self._server = None

    async def bind(self, address: str, credentials=None, with_health=True) -> int:
        """Takes the port.

        Returns:
            The port's number.

        Raises:
            RuntimeError: it cannot be had.
        """
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # two servers on one port would share its calls in silence
        ]
        server = grpc.aio.server(interceptors=[_RefuseUnparsable()], options=options)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self._core, self._metrics), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self._core), server)
        if with_health:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self._server = server
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)

    async def start(self) -> None:
        """Begins to answer."""
        await self.set_health(False)
        await self._server.start()

    async def set_health(self, serving: bool) -> None:
        """What the health service says from now on."""
        kind = health_pb2.HealthCheckResponse
        status = kind.SERVING if serving else kind.NOT_SERVING
        for name in HEALTH_NAMES:
            await self._health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Not healthy any more, no new calls, `grace` seconds for those in flight."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
