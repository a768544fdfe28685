"""The gRPC services: prediction, model, health and reflection, on a pool of threads."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
from concurrent import futures
from typing import Callable

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.embedded.core import Core
from serving.embedded.limits import Limits
from serving.embedded.scheduler import when_caller_goes
from serving.embedded.status import answer_to

_log = logging.getLogger("serving.grpc")

# What an old compiler generated here fails after the services are registered, and reflection needs
# no more of it.
for _module in ("prediction_service_pb2", "model_service_pb2"):
    with contextlib.suppress(AttributeError):
        importlib.import_module(f"tensorflow_serving.apis.{_module}")

_SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
HEALTH_NAMES = ("", "PredictionService", "ModelService", *_SERVICES)
_MAX_STREAMS = 1000  # calls at a time on one connection
_REFLECTIONS = 8  # streams of reflection at a time
_SENDING_SECONDS = 5.0  # for the last answers to leave, at the end


def _answering(name: str) -> Callable:
    """A method of a service that answers with the Core's method of this name."""

    def answer(self, request, context):
        if not context.is_active():  # it waited for a thread, and its caller has gone
            context.abort(grpc.StatusCode.CANCELLED, "the caller has gone")
        # `add_callback` refuses where the call is over already.
        when_caller_goes.set(lambda forget: context.add_callback(forget) or forget())
        try:
            return getattr(self.core, name)(request)
        except Exception as error:
            failure = answer_to(error, _log)
        context.abort(failure.code, failure.short)

    return answer


def _refusing(name: str) -> Callable:
    """A method of a service for what nothing that the project exports needs."""

    def refuse(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not implemented")

    return refuse


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService."""

    def __init__(self, core: Core):
        self.core = core

    Predict = _answering("predict")
    Classify = _answering("classify")
    GetModelMetadata = _answering("metadata")
    Regress = _refusing("Regress")
    MultiInference = _refusing("MultiInference")


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService."""

    def __init__(self, core: Core):
        self.core = core

    GetModelStatus = _answering("status")
    HandleReloadConfigRequest = _answering("reload")


class _Health(health.HealthServicer):
    """Health checks, on a thread of their own: a server whose threads are all busy is healthy."""

    def Check(self, request, context):
        return super().Check(request, context)

    Check.experimental_thread_pool = futures.ThreadPoolExecutor(1, "health")  # type: ignore


class _Reflection(reflection.ReflectionServicer):
    """Reflection, on threads of its own: a caller may keep such a stream open for hours."""

    def ServerReflectionInfo(self, request_iterator, context):
        return super().ServerReflectionInfo(request_iterator, context)

    ServerReflectionInfo.experimental_thread_pool = (  # type: ignore
        futures.ThreadPoolExecutor(_REFLECTIONS, "reflection")
    )


class _Threads(futures.ThreadPoolExecutor):
    """Threads that say how many calls they have, and how many of these wait for one."""

    def __init__(self, threads: int):
        super().__init__(threads, "grpc")
        self._lock = threading.Lock()
        self.calls = self.waiting = 0

    def submit(self, fn, /, *args, **kwargs):
        def begin():
            self._count(waiting=-1)
            try:
                return fn(*args, **kwargs)
            finally:
                self._count(calls=-1)

        self._count(calls=1, waiting=1)
        return super().submit(begin)

    def _count(self, calls: int = 0, waiting: int = 0) -> None:
        with self._lock:
            self.calls += calls
            self.waiting += waiting


class _Guard(grpc.ServerInterceptor):
    """Refuses what cannot be taken in, before anything is parsed.

    Messages are parsed on the call's own thread: gRPC would do it on the one that all calls and
    health checks pass through, and would answer INTERNAL to bytes that are no message.
    """

    def __init__(self, threads: _Threads, max_waiting: int):
        self._threads = threads
        self._max_waiting = max_waiting

    def intercept_service(self, continuation, handler_call_details):
        handler = continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith("/tensorflow.serving."):
            return handler

        def answer(data, context):
            try:
                request = handler.request_deserializer(data)
            except DecodeError:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Error parsing the request")
            return handler.unary_unary(request, context)

        is_full = self._threads.waiting >= self._max_waiting
        return grpc.unary_unary_rpc_method_handler(
            _refuse_call if is_full else answer, None, handler.response_serializer
        )


def _refuse_call(data, context):
    context.abort(grpc.StatusCode.UNAVAILABLE, "too many requests wait already; try again later")


_refuse_call.experimental_thread_pool = futures.ThreadPoolExecutor(1, "refuse")  # type: ignore


class GrpcEndpoint:
    """The gRPC server.

    Args:
      core: answers.
      limits: on messages.
      threads: calls that are worked on at a time.
      max_waiting: further ones that wait; beyond them the answer is UNAVAILABLE, at once.
      with_health: whether there is a health service.
    """

    def __init__(
        self, core: Core, limits: Limits, threads: int, max_waiting: int, with_health: bool = True
    ):
        self._threads = _Threads(threads)
        self._server = grpc.server(
            self._threads,
            interceptors=[_Guard(self._threads, max_waiting)],
            options=[
                ("grpc.max_receive_message_length", limits.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", _MAX_STREAMS),
                # Two servers on one port would share its calls in silence.
                ("grpc.so_reuseport", 0),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(core), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(core), self._server)
        self._health = _Health()
        self.set_health(False)
        names = [*_SERVICES, reflection.SERVICE_NAME]
        if with_health:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            names.append(health.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(names), self._server)

    def start(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Takes the port and begins to answer.

        Returns:
          The port's number.

        Raises:
          RuntimeError: it cannot be had.
        """
        if credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, credentials)
        self._server.start()
        return port

    def set_health(self, serving: bool) -> None:
        """What the health service says from now on."""
        kind = health_pb2.HealthCheckResponse
        for name in HEALTH_NAMES:
            self._health.set(name, kind.SERVING if serving else kind.NOT_SERVING)

    def refuse(self) -> None:
        """Not healthy any more, whatever `set_health` says."""
        self._health.enter_graceful_shutdown()

    def stop(self, grace: float) -> None:
        """No new calls, `grace` seconds for those in flight."""
        self._over = self._server.stop(grace)

    def wait_until_over(self) -> None:
        """Waits, after `stop`, until the calls are over.

        Streams of health checks and reflection, which callers leave open, are ended soon after the
        last answer.
        """
        while self._threads.calls and not self._over.wait(0.02):
            pass
        if not self._over.wait(_SENDING_SECONDS):
            self._server.stop(0).wait()
