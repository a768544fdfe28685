"""The embedded development server, with the flags of the stock server.

    python -m serving.server --model_base_path=DIR --model_name=hali --port=8500 \
        --rest_api_port=8501

Serves what `python -m hali_tf.export` wrote, over gRPC and REST, the way TF-Serving does: for
development and for tests. Production is TF-Serving itself.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading

import grpc

from hali_tf.errors import UsageError, UserError

_FIRST_LINE = (
    "hali_tf embedded server, for development and tests; in production run TF-Serving "
    "(tensorflow/serving, see serving/README.md)"
)
_DEFAULT_THREADS = 4 * (os.cpu_count() or 1)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message}; --help lists the flags")


def _flag_bool(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"expected true or false, received {text!r}")
    return values[text.lower()]


def _at_least(smallest: int):
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < smallest:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {smallest} on, received {text!r}"
            )
        return value

    return parse


def _port(text: str) -> int:
    value = _at_least(0)(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, received {text!r}")
    return value


def _parse_flags(argv):
    parser = _Parser(
        prog="python -m serving.server", allow_abbrev=False, description=__doc__.splitlines()[0]
    )

    def flag(name, kind, default, text):
        if kind is bool:
            parser.add_argument(
                f"--{name}", type=_flag_bool, nargs="?", const=True, default=default, help=text
            )
        else:
            parser.add_argument(f"--{name}", type=kind, default=default, help=text)

    flag("port", _port, 8500, "port for gRPC; 0: none")
    flag("rest_api_port", _port, 0, "port for REST and metrics; 0: none")
    flag("model_name", str, "default", "name of the model")
    flag("model_base_path", str, "", "folder whose integer-named folders are its versions")
    flag(
        "model_config_file",
        str,
        "",
        "text ModelServerConfig with several models, version policies, labels; instead of "
        "--model_name and --model_base_path",
    )
    flag(
        "model_config_file_poll_wait_seconds",
        _at_least(0),
        0,
        "seconds between readings of --model_config_file; 0: read once",
    )
    flag(
        "allow_version_labels_for_unavailable_models",
        bool,
        False,
        "new labels may name versions that are not loaded yet",
    )
    flag(
        "file_system_poll_wait_seconds",
        _at_least(-1),
        1,
        "seconds between looks for new versions; 0: look once",
    )
    flag("max_num_load_retries", _at_least(0), 5, "further attempts after a load that failed")
    flag("load_retry_interval_micros", _at_least(-1), 60_000_000, "between such attempts")
    flag(
        "enable_model_warmup",
        bool,
        True,
        "replay assets.extra/tf_serving_warmup_requests before a version serves",
    )
    flag("enable_batching", bool, False, "batch across requests")
    flag("batching_parameters_file", str, "", "text BatchingParameters")
    flag(
        "monitoring_config_file",
        str,
        "",
        "text MonitoringConfig; without it the metrics are at /monitoring/prometheus/metrics",
    )
    flag("ssl_config_file", str, "", "text SSLConfig, for gRPC over TLS")
    flag(
        "enable_grpc_healthcheck_service",
        bool,
        True,
        "gRPC health checking (the stock server's default is false)",
    )
    flag(
        "grpc_max_threads",
        _at_least(1),
        _DEFAULT_THREADS,
        "requests that run at the same time where there is no batching",
    )
    flag("rest_api_num_threads", _at_least(1), _DEFAULT_THREADS, "threads for REST")
    flag("rest_api_timeout_in_ms", _at_least(0), 30_000, "for a REST request; 0: no limit")
    flag("tensorflow_intra_op_parallelism", _at_least(0), 0, "threads inside an op; 0: automatic")
    flag("tensorflow_inter_op_parallelism", _at_least(0), 0, "ops at a time; 0: automatic")
    return parser.parse_args(argv)


def _models(flags):
    """The ModelConfigList that the flags mean."""
    from serving.embedded.server import one_model

    if not flags.model_config_file:
        if not flags.model_base_path:
            raise UsageError("--model_base_path is required (or --model_config_file)")
        if not os.path.isdir(flags.model_base_path):
            raise UsageError(f"--model_base_path={flags.model_base_path}: there is no such folder")
        return one_model(flags.model_name, flags.model_base_path)
    return _read_models(flags.model_config_file)


def _read_models(path):
    from tensorflow_serving.config import model_server_config_pb2

    from serving.embedded.manager import check_config
    from serving.embedded.protos import read_text
    from serving.embedded.status import ServingError

    config = read_text(path, model_server_config_pb2.ModelServerConfig, "model_config_file")
    if not config.model_config_list.config:
        raise UsageError(f"--model_config_file={path}: model_config_list has no config")
    try:
        check_config(config.model_config_list)
    except ServingError as error:
        raise UsageError(f"--model_config_file={path}: {error.message}") from None
    for model in config.model_config_list.config:
        if not os.path.isdir(model.base_path):
            raise UsageError(
                f"--model_config_file={path}: base_path {model.base_path} of model {model.name} "
                "is no folder"
            )
    return config.model_config_list


def _options(flags):
    """Checked ServerOptions."""
    from serving.embedded.batching import BatchingOptions, read_options
    from serving.embedded.server import ServerOptions

    if not flags.port and not flags.rest_api_port:
        raise UsageError("--port and --rest_api_port are both 0: nothing would be served")
    if flags.port == flags.rest_api_port:
        raise UsageError(f"--port and --rest_api_port are both {flags.port}; name different ones")
    if flags.batching_parameters_file and not flags.enable_batching:
        raise UsageError("--batching_parameters_file is set without --enable_batching")
    batching = None
    if flags.enable_batching:
        path = flags.batching_parameters_file
        batching = read_options(path) if path else BatchingOptions()
    same = (
        "enable_model_warmup",
        "enable_grpc_healthcheck_service",
        "allow_version_labels_for_unavailable_models",
        "file_system_poll_wait_seconds",
        "max_num_load_retries",
        "load_retry_interval_micros",
        "grpc_max_threads",
        "rest_api_num_threads",
        "rest_api_timeout_in_ms",
        "tensorflow_intra_op_parallelism",
        "tensorflow_inter_op_parallelism",
    )
    return ServerOptions(
        models=_models(flags),
        port=flags.port or None,
        rest_api_port=flags.rest_api_port or None,
        batching=batching,
        metrics_path=_metrics_path(flags.monitoring_config_file),
        ssl=_credentials(flags.ssl_config_file),
        **{name: getattr(flags, name) for name in same},
    )


def _metrics_path(path: str) -> str:
    """Where the metrics are; empty where the file turns them off."""
    from serving.embedded.protos import MonitoringConfig, read_text
    from serving.embedded.rest import METRICS_PATH

    if not path:
        return METRICS_PATH
    prometheus = read_text(path, MonitoringConfig, "monitoring_config_file").prometheus_config
    return (prometheus.path or METRICS_PATH) if prometheus.enable else ""


def _credentials(path: str):
    """TLS credentials from an SSLConfig, which holds PEM text; None without a file."""
    from serving.embedded.protos import SSLConfig, read_text

    if not path:
        return None
    config = read_text(path, SSLConfig, "ssl_config_file")
    if not config.server_key or not config.server_cert:
        raise UsageError(f"--ssl_config_file={path}: needs server_key and server_cert (PEM text)")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _serve(flags) -> None:
    """Serves until SIGTERM or SIGINT."""
    import tensorflow as tf

    from serving.embedded.server import EmbeddedServer

    tf.get_logger().setLevel("ERROR")  # its loader calls itself deprecated at each load

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = EmbeddedServer(_options(flags))
    failures = []
    try:
        server.listen()
        threading.Thread(target=_start_up, args=(server, stop, failures), daemon=True).start()
        if flags.model_config_file and flags.model_config_file_poll_wait_seconds:
            threading.Thread(target=_poll_config, args=(server, flags, stop), daemon=True).start()
        stop.wait()
        logging.getLogger("serving").info("draining")
    finally:
        server.stop()
    if failures:
        raise failures[0]


def _start_up(server, stop, failures) -> None:
    try:
        server.wait_until_loaded()
    except UserError as error:
        if not stop.is_set():
            failures.append(error)
            stop.set()


def _poll_config(server, flags, stop) -> None:
    """Applies --model_config_file whenever it has changed."""
    from serving.embedded.status import ServingError

    log = logging.getLogger("serving")
    current = _read_models(flags.model_config_file)
    while not stop.wait(flags.model_config_file_poll_wait_seconds):
        try:
            models = _read_models(flags.model_config_file)
            if models != current:
                server.manager.reload(models)
                current = models
                log.info("%s applied", flags.model_config_file)
        except (UserError, ServingError) as error:
            log.error("%s not applied: %s", flags.model_config_file, error)


def main(argv=None) -> int:
    """Entry point.

    Returns:
        Exit code: 0 after a drain, 1 for what the user can mend outside, 2 for flags.
    """
    try:
        flags = _parse_flags(argv)
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
        )
        # The log's first line comes before TensorFlow, which takes seconds to import.
        logging.getLogger("serving").info(_FIRST_LINE)
        _serve(flags)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
