"""The calls of the serving API, free of any transport."""

from __future__ import annotations

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
)

from serving.embedded import inference
from serving.embedded.status import ServingError, invalid

_SIGNATURE_DEF = "signature_def"


class Core:
    """Answers requests with what a `manager.ModelManager` has loaded."""

    def __init__(self, manager):
        self._manager = manager

    def predict(self, request) -> inference.Call:
        """Begins a PredictRequest.

        Raises:
            ServingError: here, or as the exception of the call's future.
        """
        with self.lease(request) as servable:
            return inference.predict(servable, request)

    def classify(self, request) -> inference.Call:
        """Begins a ClassificationRequest. Raises as `predict`."""
        with self.lease(request) as servable:
            return inference.classify(servable, request)

    def lease(self, request):
        """The servable of a request's model_spec, kept loaded inside the `with`."""
        return self._manager.lease(_model_spec(request))

    def metadata(self, request):
        """A GetModelMetadataResponse with the signatures."""
        spec = _model_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._manager.lease(spec) as servable:
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
            for key, signature in servable.signatures.items():
                signatures.signature_def[key].CopyFrom(signature)
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response

    def status(self, request):
        """A GetModelStatusResponse."""
        response = get_model_status_pb2.GetModelStatusResponse()
        self._manager.fill_status(_model_spec(request), response)
        return response

    def reload(self, request):
        """A ReloadConfigResponse, when the new configuration is in force. Blocks."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        self._manager.reload(request.config.model_config_list)
        return model_management_pb2.ReloadConfigResponse()

    def known_names(self, spec) -> tuple:
        """(model, signature) of a request for the metrics; empty where there is no such thing."""
        name = spec.name if self._manager.is_configured(spec.name) else ""
        key = spec.signature_name or inference.DEFAULT_SIGNATURE
        try:
            with self._manager.lease(spec) as servable:
                return name, key if key in servable.signatures else ""
        except ServingError:
            return name, ""


def _model_spec(request):
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec
