"""Flags and the files that they name become checked ServerOptions."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import grpc
from absl import flags
from tensorflow_serving.config import model_server_config_pb2

from hali_tf.errors import UsageError
from serving.embedded.batching import BatchingOptions, read_options
from serving.embedded.protos import MonitoringConfig, SSLConfig, read_text
from serving.embedded.rest import METRICS_PATH
from serving.embedded.server import ServerOptions, one_model
from serving.embedded.status import ServingError
from serving.embedded.versions import check_config


def options_of(values: flags.FlagValues) -> ServerOptions:
    """The ServerOptions that parsed flags mean.

    Raises:
      UsageError: a flag, or two together, or a file, cannot work.
    """
    if not values.port and not values.rest_api_port:
        raise UsageError("--port and --rest_api_port are both 0: nothing would be served")
    if values.port == values.rest_api_port:
        raise UsageError(f"--port and --rest_api_port are both {values.port}; name different ones")
    if values.batching_parameters_file and not values.enable_batching:
        raise UsageError("--batching_parameters_file is set without --enable_batching")
    names = {field.name for field in dataclasses.fields(ServerOptions)} & set(values)
    options: dict[str, Any] = {name: values[name].value for name in names}
    options["port"] = values.port or None
    options["rest_api_port"] = values.rest_api_port or None
    options["ssl"], is_mutual = _credentials(values.ssl_config_file)
    options["allow_reload"] = values.allow_reload or is_mutual
    return ServerOptions(
        batching=_batching(values),
        models=_models(values),
        refusal_seconds=1.0,
        metrics_path=_metrics_path(values.monitoring_config_file),
        **options,
    )


def _models(values: flags.FlagValues) -> model_server_config_pb2.ModelConfigList:
    if values.model_config_file:
        return read_models(values.model_config_file)
    if not values.model_base_path:
        raise UsageError("--model_base_path is required (or --model_config_file)")
    if not os.path.isdir(values.model_base_path):
        raise UsageError(f"--model_base_path={values.model_base_path}: there is no such folder")
    models = one_model(values.model_name, values.model_base_path)
    try:
        check_config(models)
    except ServingError as error:
        raise UsageError(f"--model_base_path={values.model_base_path}: {error.message}") from None
    return models


def read_models(path: str) -> model_server_config_pb2.ModelConfigList:
    """The models of a --model_config_file.

    Raises:
      UsageError: it cannot be read, or has a model that cannot be served.
    """
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


def _batching(values: flags.FlagValues) -> BatchingOptions | None:
    if not values.enable_batching:
        return None
    path = values.batching_parameters_file
    return read_options(path) if path else BatchingOptions()


def _metrics_path(path: str) -> str:
    """Where the metrics are; empty where the file turns them off."""
    if not path:
        return METRICS_PATH
    prometheus = read_text(path, MonitoringConfig, "monitoring_config_file").prometheus_config
    return (prometheus.path or METRICS_PATH) if prometheus.enable else ""


def _credentials(path: str) -> tuple[grpc.ServerCredentials | None, bool]:
    """TLS credentials from an SSLConfig, which holds PEM text, and whether clients need theirs."""
    if not path:
        return None, False
    config = read_text(path, SSLConfig, "ssl_config_file")
    if not config.server_key or not config.server_cert:
        raise UsageError(f"--ssl_config_file={path}: needs server_key and server_cert (PEM text)")
    if config.client_verify and not config.custom_ca:
        raise UsageError(f"--ssl_config_file={path}: client_verify needs custom_ca (PEM text)")
    credentials = grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
    return credentials, config.client_verify
