"""The gRPC services: prediction, model, health and reflection, on a pool of threads."""

from __future__ import annotations

import contextlib
import importlib
import logging
from concurrent import futures
from typing import Any, Callable

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from serving.embedded.call_threads import CallThreads
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


def _methods(core: Core) -> dict[str, tuple[Callable, Any]]:
    """Full name of each method -> (what answers, the class of its requests)."""
    prediction, model = (f"/{name}/" for name in _SERVICES)
    return {
        f"{prediction}Predict": (core.predict, predict_pb2.PredictRequest),
        f"{prediction}Classify": (core.classify, classification_pb2.ClassificationRequest),
        f"{prediction}GetModelMetadata": (
            core.metadata,
            get_model_metadata_pb2.GetModelMetadataRequest,
        ),
        f"{model}GetModelStatus": (core.status, get_model_status_pb2.GetModelStatusRequest),
        f"{model}HandleReloadConfigRequest": (
            core.reload,
            model_management_pb2.ReloadConfigRequest,
        ),
    }


def _handler(answer: Callable, request_class: Any) -> grpc.RpcMethodHandler:
    """Takes bytes and gives bytes, so that messages are parsed on the call's own thread.

    gRPC would parse them on the one thread that all calls and health checks pass through, and would
    answer INTERNAL to bytes that are no message.
    """
    parse = request_class.FromString

    def call(data, context):
        if not context.is_active():  # it waited for a thread, and its caller has gone
            context.abort(grpc.StatusCode.CANCELLED, "the caller has gone")
        # `add_callback` refuses where the call is over already.
        when_caller_goes.set(lambda forget: context.add_callback(forget) or forget())
        try:
            request = parse(data)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Error parsing the request")
        try:
            return answer(request).SerializeToString()
        except Exception as error:
            failure = answer_to(error, _log)
        context.abort(failure.code, failure.short)

    return grpc.unary_unary_rpc_method_handler(call)


class _Services(grpc.GenericRpcHandler):
    """The prediction and the model service; what is not in `_methods` is UNIMPLEMENTED."""

    def __init__(self, core: Core, threads: CallThreads):
        self._handlers = {name: _handler(*row) for name, row in _methods(core).items()}
        self._threads = threads

    def service(self, handler_call_details):
        handler = self._handlers.get(handler_call_details.method)
        return _REFUSAL if handler and self._threads.is_full else handler


def _refuse(data, context):
    context.abort(grpc.StatusCode.UNAVAILABLE, "too many requests wait already; try again later")


_refuse.experimental_thread_pool = futures.ThreadPoolExecutor(1, "refuse")  # type: ignore
_REFUSAL = grpc.unary_unary_rpc_method_handler(_refuse)


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
        self, core: Core, limits: Limits, threads: int, max_waiting: int, with_health: bool
    ):
        self._threads = CallThreads(threads, max_waiting, "grpc")
        self._server = grpc.server(
            self._threads,
            options=[
                ("grpc.max_receive_message_length", limits.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", _MAX_STREAMS),
                # Two servers on one port would share its calls in silence.
                ("grpc.so_reuseport", 0),
            ],
        )
        self._server.add_generic_rpc_handlers([_Services(core, self._threads)])
        self._health = _Health()
        self.set_health(False)
        names = [*_SERVICES, reflection.SERVICE_NAME]
        if with_health:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            names.append(health.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(names), self._server)

    def start(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
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
