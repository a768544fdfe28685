"""The embedded server as an object: everything in this process, on ports of its own."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import socket
import time

import grpc
import tensorflow as tf
from tensorflow_serving.config import model_server_config_pb2

from hali_tf.errors import UserError, in_one_line
from serving.embedded import inference, rest
from serving.embedded.batching import BatchingOptions
from serving.embedded.core import Core
from serving.embedded.endpoints import GrpcEndpoint
from serving.embedded.flags import DEFAULT_THREADS
from serving.embedded.limits import Limits
from serving.embedded.manager import ModelManager
from serving.embedded.metrics import Metrics
from serving.embedded.scheduler import BatchScheduler
from serving.embedded.servable import Servable
from serving.embedded.status import ServingError

_log = logging.getLogger("serving")

_MAX_THREADS = 256  # that wait for batches
_UNLOAD_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """What a server is told; the flags of `serving/server.py` say what each means."""

    models: model_server_config_pb2.ModelConfigList
    host: str = "localhost"
    port: int | None = 8500  # 0: any free one; None: no gRPC
    rest_api_port: int | None = None  # 0: any free one; None: no REST
    batching: BatchingOptions | None = None
    metrics_path: str = rest.METRICS_PATH
    ssl: grpc.ServerCredentials | None = None
    enable_model_warmup: bool = True
    enable_grpc_healthcheck_service: bool = True
    allow_version_labels_for_unavailable_models: bool = False
    file_system_poll_wait_seconds: float = 1.0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    grpc_max_threads: int = DEFAULT_THREADS
    rest_api_num_threads: int = DEFAULT_THREADS
    rest_api_timeout_in_ms: int = 30_000
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    max_examples: int = Limits.max_examples  # without batching
    max_message_bytes: int = Limits.max_message_bytes
    max_waiting_requests: int = 256
    allow_reload: bool = False
    drain_seconds: float = 30.0  # for what is in flight
    refusal_seconds: float = 0.0  # new calls are told UNAVAILABLE, then the ports close

    @property
    def limits(self) -> Limits:
        """Bounds on a request; with batching it has to fit into a batch."""
        examples = self.batching.max_batch_size if self.batching else self.max_examples
        return Limits(examples, self.max_message_bytes)

    @property
    def grpc_threads(self) -> int:
        """Calls at a time: with batching as many as the queues hold, for each waits in one."""
        if not self.batching:
            return self.grpc_max_threads
        return max(self.grpc_max_threads, min(self.batching.capacity, _MAX_THREADS))


def one_model(name: str, base_path: str) -> model_server_config_pb2.ModelConfigList:
    """The configuration that --model_name and --model_base_path stand for."""
    models = model_server_config_pb2.ModelConfigList()
    models.config.add(name=name, base_path=os.path.abspath(base_path), model_platform="tensorflow")
    return models


class EmbeddedServer:
    """Serves from `start` to `stop`; also a context manager."""

    def __init__(self, options: ServerOptions):
        self._options = options
        self._scheduler = BatchScheduler(options.batching) if options.batching else None
        self._session_config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=options.tensorflow_intra_op_parallelism,
            inter_op_parallelism_threads=options.tensorflow_inter_op_parallelism,
            gpu_options={"allow_growth": True},
        )
        self.manager = ModelManager(
            self._load,
            poll_seconds=options.file_system_poll_wait_seconds,
            max_retries=options.max_num_load_retries,
            retry_seconds=max(0.0, options.load_retry_interval_micros / 1e6),
            allow_labels_for_unavailable=options.allow_version_labels_for_unavailable_models,
            on_change=lambda: self._grpc.set_health(self.manager.ready()),
        )
        metrics = Metrics()
        self._core = core = Core(self.manager, metrics, options.allow_reload)
        self._grpc = GrpcEndpoint(
            core,
            options.limits,
            options.grpc_threads,
            options.max_waiting_requests,
            options.enable_grpc_healthcheck_service,
        )
        self._rest = rest.RestEndpoint(
            core,
            metrics,
            options.rest_api_num_threads,
            options.max_waiting_requests,
            options.rest_api_timeout_in_ms / 1000,
            options.metrics_path,
        )
        self.port: int | None = None
        self.rest_api_port: int | None = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Takes the ports, loads the models, and returns when they answer.

        Raises:
          UserError: a port is taken, a model cannot be loaded.
        """
        try:
            self.listen()
            self.wait_until_loaded()
        except BaseException:
            self.stop()
            raise

    def listen(self) -> None:
        """Takes the ports and begins to load; until models are there, calls get NOT_FOUND.

        Raises:
          UserError: a port is taken, a label names a version that is not loaded.
        """
        options = self._options
        if options.port is not None:
            self.port = self._start_grpc(options.port)
            _log.info("gRPC at %s:%d", options.host, self.port)
        if options.rest_api_port is not None:
            _check_port(options.host, options.rest_api_port, "rest_api_port")
            try:
                self.rest_api_port = self._rest.start(options.host, options.rest_api_port)
            except OSError as error:  # of another address of the host than `_check_port` tries
                raise _cannot_listen("rest_api_port", options.rest_api_port, error) from None
            _log.info("REST at %s:%d", options.host, self.rest_api_port)
        try:
            self.manager.start(options.models)
        except ServingError as error:
            raise UserError(f"Failed to start server. Error: {error.message}") from None

    def wait_until_loaded(self) -> None:
        """Waits until every model has its versions loaded or given up.

        Raises:
          UserError: a model has no version that loads.
        """
        try:
            self.manager.wait_until_settled()
        except ServingError as error:
            message = " ".join(error.message.split())[:600]
            raise UserError(f"Failed to start server. Error: {message}") from None

    def stop(self) -> None:
        """Drains: not healthy, nothing new, what is in flight is answered, then all is freed."""
        self.manager.interrupt()  # nobody waits for a configuration any more
        self._core.is_draining = True
        self._grpc.refuse()
        if self.rest_api_port is not None:
            self._rest.refuse()
        time.sleep(self._options.refusal_seconds)  # a call that meets a closing port is cut off
        self._grpc.stop(self._options.drain_seconds)
        if self.rest_api_port is not None:
            self._rest.stop(self._options.drain_seconds)
        self._grpc.wait_until_over()
        if self._scheduler:
            self._scheduler.close()
        self.manager.close(_UNLOAD_SECONDS)

    def _load(self, name: str, version: int, path: str) -> Servable:
        servable = Servable.load(
            name, version, path, self._options.limits, self._scheduler, self._session_config
        )
        if self._options.enable_model_warmup:
            try:
                count = inference.warm_up(servable, path)
            except BaseException:
                servable.close()
                raise
            _log.info("%s version %d: %d warm-up requests replayed", name, version, count)
        return servable

    def _start_grpc(self, port: int) -> int:
        options = self._options
        _check_port(options.host, port, "port")
        host = f"[{options.host}]" if ":" in options.host else options.host
        try:
            return self._grpc.start(f"{host}:{port}", options.ssl)
        except RuntimeError as error:
            reason = "the key and certificate of --ssl_config_file do not fit"
            reason = reason if options.ssl else str(error)
            raise UserError(f"--port={port}: cannot listen ({reason})") from None


def _check_port(host: str, port: int, flag: str) -> None:
    """Tries a port before a server does, which would log lines of its own about it.

    Raises:
      UserError: it is taken or not allowed, or there is no such host.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host={host}: no address of this machine ({in_one_line(error)}); expected "
            "localhost, 0.0.0.0 or an address of its own"
        ) from None
    failures = [failure for failure in map(_try_address, addresses) if failure]
    for failure in failures:
        # One family of addresses is enough: many containers have no IPv6.
        is_missing = failure.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
        if not is_missing:
            raise _cannot_listen(flag, port, failure)
    if len(failures) == len(addresses):
        raise UserError(
            f"--host={host}: no address of this machine ({failures[0].strerror}); expected "
            "localhost, 0.0.0.0 or an address of its own"
        )


def _try_address(found: tuple) -> OSError | None:
    """Why nobody can listen at a result of `getaddrinfo`; None if one can."""
    family, kind, protocol, _, address = found
    try:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(address)
    except OSError as error:
        return error
    return None


def _cannot_listen(flag: str, port: int, error: OSError) -> UserError:
    return UserError(f"--{flag}={port}: cannot listen there ({error.strerror}); name another port")
