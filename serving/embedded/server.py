"""The embedded server as an object: everything in this process, on ports of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import threading
from concurrent import futures

import grpc
import tensorflow as tf
from cheroot import wsgi
from tensorflow_serving.config import model_server_config_pb2

from hali_tf.errors import UserError
from serving.embedded import endpoints, inference, rest
from serving.embedded.batching import BatchingOptions, BatchingRunner, BatchScheduler
from serving.embedded.core import Core
from serving.embedded.manager import ModelManager
from serving.embedded.metrics import Metrics
from serving.embedded.servable import DirectRunner, Servable
from serving.embedded.status import ServingError

_log = logging.getLogger("serving")


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """What a server is told; the flags of `serving/server.py` say what each means."""

    models: model_server_config_pb2.ModelConfigList
    host: str = "0.0.0.0"
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
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)
    rest_api_num_threads: int = 4 * (os.cpu_count() or 1)
    rest_api_timeout_in_ms: int = 30_000
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    drain_seconds: float = 30.0


def one_model(name: str, base_path: str) -> model_server_config_pb2.ModelConfigList:
    """The configuration that --model_name and --model_base_path stand for."""
    models = model_server_config_pb2.ModelConfigList()
    models.config.add(name=name, base_path=os.path.abspath(base_path), model_platform="tensorflow")
    return models


class EmbeddedServer:
    """Serves from `start` to `stop`; also a context manager."""

    def __init__(self, options: ServerOptions):
        self._options = options
        self._executor = futures.ThreadPoolExecutor(options.grpc_max_threads, "session")
        runner = DirectRunner(self._executor)
        self._scheduler = None
        if options.batching:
            self._scheduler = BatchScheduler(options.batching)
            runner = BatchingRunner(self._scheduler, runner)
        self._runner = runner
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
            on_change=self._update_health,
        )
        self._metrics = Metrics()
        core = Core(self.manager)
        self._grpc = endpoints.GrpcEndpoint(core, self._metrics)
        self._app = rest.RestApp(
            core, self._metrics, options.rest_api_timeout_in_ms / 1000, options.metrics_path
        )
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(
            target=self._loop.run_forever, name="grpc-loop", daemon=True
        )
        self._rest = None
        self._rest_thread = None
        self.port = None
        self.rest_api_port = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_) -> None:
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
        self._loop_thread.start()
        if self._options.port is not None:
            self._bind_grpc()
        if self._options.rest_api_port is not None:
            self._bind_rest()
        try:
            self.manager.start(self._options.models)
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
        if self.port is not None:
            self._on_loop(self._grpc.stop(self._options.drain_seconds))
        if self._rest_thread:
            self._rest.stop()
            self._rest_thread.join()
        if self._scheduler:
            self._scheduler.close()
        self._executor.shutdown()
        self.manager.close()
        if self._loop_thread.is_alive():  # last: the manager reports to it
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop_thread.join()
            self._loop.close()

    def _load(self, name, version, path) -> Servable:
        servable = Servable.load(name, version, path, self._runner, self._session_config)
        if self._options.enable_model_warmup:
            try:
                count = inference.warm_up(servable, path)
            except BaseException:
                servable.close()
                raise
            _log.info("%s version %d: %d warm-up requests replayed", name, version, count)
        return servable

    def _bind_grpc(self) -> None:
        options = self._options
        _check_port(options.host, options.port, "port")
        address = f"{options.host}:{options.port}"
        bound = self._grpc.bind(address, options.ssl, options.enable_grpc_healthcheck_service)
        try:
            self.port = self._on_loop(bound)
        except RuntimeError as error:
            reason = "the key and certificate of --ssl_config_file do not fit"
            reason = reason if options.ssl else str(error)
            raise UserError(f"--port={options.port}: cannot listen ({reason})") from None
        self._on_loop(self._grpc.start())
        _log.info("gRPC at %s:%d", options.host, self.port)

    def _bind_rest(self) -> None:
        options = self._options
        _check_port(options.host, options.rest_api_port, "rest_api_port")
        self._rest = wsgi.Server(
            (options.host, options.rest_api_port),
            self._app,
            numthreads=options.rest_api_num_threads,
            shutdown_timeout=options.drain_seconds,
        )
        self._rest.prepare()
        self.rest_api_port = self._rest.bind_addr[1]
        self._rest_thread = threading.Thread(target=self._rest.serve, name="rest", daemon=True)
        self._rest_thread.start()
        _log.info("REST at %s:%d", options.host, self.rest_api_port)

    def _update_health(self) -> None:
        if self.port is not None:
            self._on_loop(self._grpc.set_health(self.manager.ready()))

    def _on_loop(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _check_port(host, port, flag) -> None:
    """Tries a port before a server does, which would log lines of its own about it.

    Raises:
        UserError: it is taken or not allowed.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            trial.bind((host, port))
        except OSError as error:
            raise UserError(
                f"--{flag}={port}: cannot listen there ({error.strerror}); name another port"
            ) from None
