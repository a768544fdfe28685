"""The models, their versions and labels, as requests find them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence

from grpc import StatusCode
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.embedded.servable import Servable
from serving.embedded.status import ServingError, invalid
from serving.embedded.versions import State, Version

_log = logging.getLogger("serving.manager")

# Every request asks for it, and an enum of protobuf looks its names up at each access.
_AVAILABLE = State.AVAILABLE


class Catalog:
    """The models, their versions and labels: what requests ask for.

    The lock guards the configuration. A version stops being AVAILABLE only under it, so that no
    request leases one that unloads.
    """

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.configs: dict[str, model_server_config_pb2.ModelConfig] = {}
        self.labels: dict[str, dict[str, int]] = {}  # of each model, to the version's number
        self.versions: dict[str, dict[int, Version]] = {}
        self.leaving: list[Version] = []  # that unload while their number is loaded anew

    def all_versions(self) -> list[Version]:
        """The versions of all models, lowest numbers first, after those that leave."""
        return self.leaving + [
            version
            for versions in list(self.versions.values())
            for _, version in sorted(versions.items())
        ]

    def available(self, name: str) -> dict[int, Version]:
        """Number -> version of those that serve."""
        versions = self.versions.get(name, {})
        return {key: each for key, each in versions.items() if each.state == _AVAILABLE}

    def aspired(self, name: str) -> list[Version]:
        """The versions of a model that should serve."""
        return [version for version in self.versions.get(name, {}).values() if version.aspired]

    def ready(self) -> bool:
        """Whether every configured model has a version that answers."""
        with self.lock:
            return all(self.available(name) for name in self.configs)

    @contextlib.contextmanager
    def lease(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """The servable that a ModelSpec means, kept loaded inside the `with`.

        Raises:
          ServingError: INVALID_ARGUMENT for no name or an unknown label, NOT_FOUND.
        """
        with self.lock:
            servable = self._find(spec)
            servable.acquire()
        try:
            yield servable
        finally:
            servable.release()

    def _find(self, spec: model_pb2.ModelSpec) -> Servable:
        name = spec.name
        if not name:
            raise invalid("ModelSpec has no name specified.")
        available = self.available(name)
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            number, wanted = max(available, default=None), f"Latest({name})"
        else:
            number = spec.version.value
            if choice == "version_label":
                number = self.labels.get(name, {}).get(spec.version_label)
                if number is None:
                    raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            wanted = f"Specific({name}, {number})"
        if number not in available:
            raise ServingError(StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}")
        servable = available[number].servable
        assert servable
        return servable

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions, newest first.

        Raises:
          ServingError: NOT_FOUND.
        """
        with self.lock:
            versions = dict(self.versions.get(spec.name, {}))
        number = spec.version.value
        if spec.HasField("version") and number not in versions:
            message = f"Could not find version {number} of model {spec.name}"
            raise ServingError(StatusCode.NOT_FOUND, message)
        if not versions:
            message = f"Could not find any versions of model {spec.name}"
            raise ServingError(StatusCode.NOT_FOUND, message)
        response = get_model_status_pb2.GetModelStatusResponse()
        for key in [number] if spec.HasField("version") else sorted(versions, reverse=True):
            versions[key].fill_status(response.model_version_status.add())
        return response

    def configure(
        self, configs: Sequence[model_server_config_pb2.ModelConfig], allow: bool
    ) -> set[str]:
        """Replaces the whole configuration; the caller holds the lock.

        Args:
          configs: one per model.
          allow: whether a new label may name a version that does not serve.

        Returns:
          The names of the new models.

        Raises:
          ServingError: FAILED_PRECONDITION for a label, and nothing changed. Labels are checked
            before anything is loaded, as by the stock server.
        """
        for config in configs:
            self._check_labels(config, allow)
        for config in configs:
            if config.base_path != self.configs.get(config.name, config).base_path:
                _log.warning(
                    "%s has another base path: a version that is loaded stays as it is where one "
                    "of its number is there",
                    config.name,
                )
        new = {config.name for config in configs} - set(self.configs)
        self.configs = {config.name: config for config in configs}
        self.labels = {config.name: dict(config.version_labels) for config in configs}
        return new

    def _check_labels(self, config: model_server_config_pb2.ModelConfig, allow: bool) -> None:
        """A label may move to a version that serves; a new one, if allowed, to any version."""
        labels = self.labels.get(config.name, {})
        for label, number in config.version_labels.items():
            may_stay = labels.get(label) == number
            may_come = label not in labels and allow
            if not (may_stay or may_come or number in self.available(config.name)):
                raise ServingError(
                    StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {config.name}, which "
                    "is not currently available for inference",
                )

    def aspire(self, name: str, found: dict[int, str]) -> None:
        """Notes which versions of a model, number -> path, should serve; no others should."""
        known = self.versions.setdefault(name, {})
        for number, path in found.items():
            version = known.get(number)
            is_stale = version and (not version.aspired or version.path != path)
            if version and version.state == State.UNLOADING:
                self.leaving.append(version)
                version = None
            if version is None or (is_stale and version.servable is None):
                known[number] = Version(name, number, path)
                _log.info("%s found at %s", known[number], path)
        for number, version in known.items():
            if number not in found and version.waiting:  # never loaded, and no longer wanted
                version.state = State.END
                _log.info("%s is gone before it was loaded", version)
            version.aspired = number in found
