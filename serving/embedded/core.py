"""The calls of the serving API, counted, and free of any transport."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from grpc import StatusCode
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
)

from serving.embedded import inference
from serving.embedded.manager import ModelManager
from serving.embedded.metrics import Metrics
from serving.embedded.status import ServingError, as_serving_error, invalid

_SIGNATURE_DEF = "signature_def"


class Core:
    """Answers requests with what a manager has loaded; every call may raise a ServingError.

    Attributes:
      lease: see `Catalog.lease`.

    Args:
      manager: has the models.
      metrics: counts the requests.
      with_reload: whether callers may replace the configuration.
    """

    def __init__(self, manager: ModelManager, metrics: Metrics, with_reload: bool):
        self._manager = manager
        self.lease = manager.lease
        self._metrics = metrics
        self._with_reload = with_reload
        self.is_draining = False  # then nothing new is taken

    @contextlib.contextmanager
    def counted(self, spec: model_pb2.ModelSpec, api: str, entrypoint: str) -> Iterator[None]:
        """Counts the request that is answered inside the `with`.

        Args:
          spec: of the request; it may be filled in inside the `with`.
          api: Predict or Classify.
          entrypoint: GRPC or REST.
        """
        started = time.monotonic()
        status = StatusCode.OK
        try:
            if self.is_draining:
                raise ServingError(StatusCode.UNAVAILABLE, "the server is shutting down")
            yield
        except BaseException as error:
            status = as_serving_error(error).code
            raise
        finally:
            seconds = time.monotonic() - started
            is_known = status == StatusCode.OK  # model and signature have just answered
            names = _names(spec) if is_known else self._known_names(spec)
            self._metrics.record(*names, api, entrypoint, status.name, seconds)

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Answers a PredictRequest."""
        spec = _model_spec(request)
        with self.counted(spec, "Predict", "GRPC"), self.lease(spec) as servable:
            return inference.predict(servable, request)

    def classify(
        self, request: classification_pb2.ClassificationRequest
    ) -> classification_pb2.ClassificationResponse:
        """Answers a ClassificationRequest."""
        spec = _model_spec(request)
        with self.counted(spec, "Classify", "GRPC"), self.lease(spec) as servable:
            return inference.classify(servable, request)

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a model."""
        spec = _model_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self.lease(spec) as servable:
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
            signatures.ParseFromString(servable.definitions)
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions."""
        return self._manager.status(_model_spec(request))

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        """Answers when the new configuration is in force."""
        if not self._with_reload:
            raise ServingError(
                StatusCode.PERMISSION_DENIED,
                "HandleReloadConfigRequest makes the server load any folder that it can read: it "
                "is answered with --allow_reload, or over TLS with client_verify",
            )
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        new = self._manager.apply(request.config.model_config_list)
        self._manager.wait_until_settled(new)
        return model_management_pb2.ReloadConfigResponse()

    def _known_names(self, spec: model_pb2.ModelSpec) -> tuple[str, str]:
        """(model, signature) for the metrics, empty where there is no such thing.

        So clients cannot create unlimited label values.
        """
        name, key = _names(spec)
        name = name if name in self._manager.configs else ""
        try:
            with self.lease(spec) as servable:
                return name, key if key in servable.signatures else ""
        except ServingError:
            return name, ""


def _names(spec: model_pb2.ModelSpec) -> tuple[str, str]:
    return spec.name, inference.signature_key(spec)


def _model_spec(request: Any) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec
