"""The flags of `python -m serving.server`: names and meaning are the stock server's."""

from __future__ import annotations

import os
from typing import Any

from absl import flags

DEFAULT_THREADS = 4 * (os.cpu_count() or 1)

_MODULE = "serving.server"
_ANY = (None, None)
_FROM_0 = (0, None)
_FROM_1 = (1, None)
_MOST = 2**31 - 1  # what gRPC and TensorFlow take
_PORT = (0, 65535)

_FLAGS = (
    ("host", "localhost", "address to listen at; 0.0.0.0 is all of the machine's"),
    ("port", 8500, "port for gRPC; 0: none", _PORT),
    ("rest_api_port", 0, "port for REST and metrics; 0: none", _PORT),
    ("model_name", "default", "name of the model"),
    ("model_base_path", "", "folder whose integer-named folders are its versions"),
    ("model_config_file", "", "text ModelServerConfig with several models, version policies, "
     "labels; instead of --model_name and --model_base_path"),
    ("model_config_file_poll_wait_seconds", 0,
     "seconds between readings of --model_config_file; 0: read once", _FROM_0),
    ("allow_version_labels_for_unavailable_models", False,
     "new labels may name versions that are not loaded yet"),
    ("file_system_poll_wait_seconds", 1,
     "seconds between looks for new versions; 0: look once; -1: never", (-1, None)),
    ("max_num_load_retries", 5, "further attempts after a load that failed", _FROM_0),
    ("load_retry_interval_micros", 60_000_000, "between such attempts", (-1, None)),
    ("enable_model_warmup", True,
     "replay assets.extra/tf_serving_warmup_requests before a version serves"),
    ("enable_batching", False, "batch across requests"),
    ("batching_parameters_file", "", "text BatchingParameters"),
    ("monitoring_config_file", "",
     "text MonitoringConfig; without it the metrics are at /monitoring/prometheus/metrics"),
    ("ssl_config_file", "", "text SSLConfig, for gRPC over TLS"),
    ("enable_grpc_healthcheck_service", True,
     "gRPC health checking (the stock server's default is false)"),
    ("allow_reload", False, "callers may replace the configuration (HandleReloadConfigRequest), "
     "and so make the server load any folder; over TLS with client_verify they always may"),
    ("max_examples", 256, "most examples in a request; with batching: max_batch_size", _FROM_1),
    ("max_message_bytes", 64 << 20, "most bytes of a gRPC request and of an answer",
     (1, _MOST)),
    ("grpc_max_threads", DEFAULT_THREADS,
     "requests that run at the same time where there is no batching", _FROM_1),
    ("max_waiting_requests", 256, "further ones that wait for a thread; beyond them the answer is "
     "UNAVAILABLE, at once", _FROM_1),
    ("rest_api_num_threads", DEFAULT_THREADS, "REST requests that run at the same time", _FROM_1),
    ("rest_api_timeout_in_ms", 30_000, "for a REST request; 0: no limit", _FROM_0),
    ("tensorflow_intra_op_parallelism", 0, "threads inside an op; 0: automatic", (0, _MOST)),
    ("tensorflow_inter_op_parallelism", 0, "ops at a time; 0: automatic", (0, _MOST)),
)  # fmt: skip


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags among `values`."""
    for name, default, text, (lower, upper) in (
        row if len(row) == 4 else (*row, _ANY) for row in _FLAGS
    ):
        common: dict[str, Any] = {"flag_values": values, "module_name": _MODULE}
        if isinstance(default, bool):
            flags.DEFINE_bool(name, default, text, **common)
        elif isinstance(default, int):
            flags.DEFINE_integer(name, default, text, lower, upper, **common)
        else:
            flags.DEFINE_string(name, default, text, **common)
