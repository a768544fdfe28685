"""Which versions of which models are loaded.

One thread looks at the base paths, loads what appears, and unloads what is no longer wanted:
a new version is loaded and warmed up before the old one goes, and the old one goes only when its
last request is answered.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
import time
from typing import Callable

from grpc import StatusCode
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.embedded.status import ServingError, as_serving_error, invalid

_log = logging.getLogger("serving.manager")

_State = get_model_status_pb2.ModelVersionStatus.State


@dataclasses.dataclass
class _Version:
    """One version of a model, from the moment it is seen on disk."""

    path: str
    state: int = _State.START
    error: ServingError | None = None
    servable: object = None
    attempts: int = 0
    next_attempt: float = 0.0
    aspired: bool = True

    @property
    def settled(self) -> bool:
        return self.state in (_State.AVAILABLE, _State.END)


class ModelManager:
    """Loads, serves by name and version or label, and unloads."""

    def __init__(
        self,
        load: Callable,
        poll_seconds: float = 1.0,
        max_retries: int = 5,
        retry_seconds: float = 60.0,
        allow_labels_for_unavailable: bool = False,
        on_change: Callable = lambda: None,
    ):
        """Args:
        load: (name, version, path) -> Servable, warmed up; raises where it cannot.
        poll_seconds: between looks at the base paths; 0 looks once, below 0 never.
        max_retries: further attempts after a load that failed.
        retry_seconds: between attempts.
        allow_labels_for_unavailable: a new label may name a version that is not loaded.
        on_change: called, in the manager's thread, when what is available changed.
        """
        self._load = load
        self._poll_seconds = poll_seconds
        self._max_retries = max_retries
        self._retry_seconds = retry_seconds
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._on_change = on_change
        self._lock = threading.Condition()
        self._configs = {}  # model name -> ModelConfig
        self._versions = {}  # model name -> {version: _Version}
        self._available = {}  # model name -> {version: Servable}
        self._labels = {}  # model name -> {label: version}
        self._generation = 0  # of the configuration
        self._looked_at = 0  # the newest generation whose base paths have been looked at
        self._wake = threading.Event()
        self._reconfigure = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="model-manager", daemon=True)

    # Requests.

    @contextlib.contextmanager
    def lease(self, spec):
        """The servable that a ModelSpec means, kept loaded inside the `with`.

        Raises:
            ServingError: INVALID_ARGUMENT for no name or an unknown label, NOT_FOUND.
        """
        servable = self._acquire(spec)
        try:
            yield servable
        finally:
            servable.release()

    def _acquire(self, spec):
        name = spec.name
        if not name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        with self._lock:
            available = self._available.get(name, {})
            if choice is None:
                servable, wanted = None, f"Latest({name})"
                if available:
                    servable = available[max(available)]
            else:
                version = spec.version.value
                if choice == "version_label":
                    version = self._labels.get(name, {}).get(spec.version_label)
                    if version is None:
                        raise invalid(f"Unrecognized servable version label: {spec.version_label}")
                servable, wanted = available.get(version), f"Specific({name}, {version})"
            if servable is None:
                raise ServingError(
                    StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}"
                )
            servable.acquire()
            return servable

    def fill_status(self, spec, response) -> None:
        """Writes the states of a model's versions, newest first, into a GetModelStatusResponse.

        Raises:
            ServingError: NOT_FOUND.
        """
        with self._lock:
            versions = dict(self._versions.get(spec.name, {}))
        if spec.HasField("version"):
            version = spec.version.value
            if version not in versions:
                raise ServingError(
                    StatusCode.NOT_FOUND,
                    f"Could not find version {version} of model {spec.name}",
                )
            versions = {version: versions[version]}
        if not versions:
            raise ServingError(
                StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}"
            )
        for version in sorted(versions, reverse=True):
            record = versions[version]
            entry = response.model_version_status.add(version=version, state=record.state)
            entry.status.error_message = ""
            if record.error:
                entry.status.error_code = record.error.code.value[0]
                entry.status.error_message = record.error.short

    def is_configured(self, name) -> bool:
        """Whether the configuration has a model of this name."""
        return name in self._configs

    def ready(self) -> bool:
        """Whether every configured model has a version that answers."""
        with self._lock:
            return all(self._available.get(name) for name in self._configs)

    # Configuration.

    def start(self, config_list) -> None:
        """Begins to load; returns at once. See `wait_until_settled`.

        Raises:
            ServingError: as `reload`.
        """
        self._accept(config_list)
        self._thread.start()

    def reload(self, config_list) -> None:
        """Replaces the whole configuration and waits until it is in force.

        Raises:
            ServingError: the configuration is invalid, or a label names a version that is not
                available, and nothing changed; or as `wait_until_settled`.
        """
        with self._reconfigure:
            self._accept(config_list)
            self.wait_until_settled()

    def wait_until_settled(self) -> None:
        """Waits until each configured model has its versions loaded or given up.

        A model without any version on disk is waited for, as the stock server does.

        Raises:
            ServingError: UNKNOWN, every version of a model failed.
        """
        with self._lock:
            self._lock.wait_for(lambda: self._closing or self._all_settled())
            failed = {
                name: self._aspired(name)[-1].error
                for name in self._configs
                if not self._closing and not self._available.get(name)
            }
        if failed:
            reasons = "; ".join(f"{name}: {error.message}" for name, error in failed.items())
            raise ServingError(
                StatusCode.UNKNOWN,
                f"{len(failed)} servable(s) did not become available: {{{reasons}}}",
            )

    def close(self) -> None:
        """Unloads everything once it is idle and ends the thread."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        self._wake.set()
        if self._thread.ident:
            self._thread.join()

    def _accept(self, config_list) -> None:
        check_config(config_list)
        with self._lock:
            for config in config_list.config:
                self._check_labels(config)
            self._configs = {config.name: config for config in config_list.config}
            self._labels = {name: config.version_labels for name, config in self._configs.items()}
            self._generation += 1
        self._wake.set()

    def _check_labels(self, config) -> None:
        """Labels are checked before anything is loaded, as by the stock server."""
        available = self._available.get(config.name, {})
        for label, version in config.version_labels.items():
            new = label not in self._labels.get(config.name, {})
            if version not in available and not (new and self._allow_labels_for_unavailable):
                raise ServingError(
                    StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {config.name}, which "
                    "is not currently available for inference",
                )

    def _all_settled(self) -> bool:
        if self._looked_at != self._generation:
            return False
        for name in self._configs:
            aspired = self._aspired(name)
            if not aspired or not all(record.settled for record in aspired):
                return False
        return True

    def _aspired(self, name) -> list:
        return [record for record in self._versions.get(name, {}).values() if record.aspired]

    # The thread.

    def _run(self) -> None:
        next_poll = 0.0
        while True:
            self._wake.clear()
            now = time.monotonic()
            with self._lock:
                closing = self._closing
                # A new configuration is looked at without waiting for the next poll.
                unseen = self._looked_at != self._generation
            if closing:
                self._unload_all()
                return
            if self._poll_seconds >= 0 and (now >= next_poll or unseen):
                self._look()
                once = self._poll_seconds == 0
                next_poll = float("inf") if once else time.monotonic() + self._poll_seconds
            self._load_due()
            self._unload_unwanted()
            self._close_idle()
            self._wake.wait(self._pause(next_poll))

    def _pause(self, next_poll) -> float | None:
        """Seconds until something is due; None: until something happens."""
        due = next_poll
        for records in self._versions.values():
            for record in records.values():
                if record.aspired and not record.settled:
                    due = min(due, record.next_attempt)
        return None if due == float("inf") else max(0.0, due - time.monotonic())

    def _look(self) -> None:
        """Compares what is on disk with what is known."""
        with self._lock:
            configs, generation = dict(self._configs), self._generation
        for name in set(configs) | set(self._versions):
            found = _aspired_versions(configs[name]) if name in configs else {}
            if found is not None:  # None: the base path is away; what serves, stays
                with self._lock:
                    self._aspire(name, found)
        with self._lock:
            self._looked_at = generation
            self._lock.notify_all()

    def _aspire(self, name, found) -> None:
        records = self._versions.setdefault(name, {})
        for version, path in found.items():
            record = records.get(version)
            gone = record is not None and record.state == _State.END and not record.aspired
            if record is None or gone:
                records[version] = _Version(path)
                _log.info("%s version %d found at %s", name, version, path)
            else:
                record.aspired = True
        for version, record in records.items():
            if version not in found and record.aspired:
                record.aspired = False
                if not record.settled:  # never loaded, and no longer wanted
                    record.state = _State.END
                    _log.info("%s version %d is gone before it was loaded", name, version)

    def _load_due(self) -> None:
        now = time.monotonic()
        for name, records in self._versions.items():
            for version, record in sorted(records.items()):
                waiting = record.aspired and not record.settled
                if waiting and record.next_attempt <= now and not self._closing:
                    self._attempt(name, version, record)

    def _attempt(self, name, version, record) -> None:
        record.state = _State.LOADING
        record.attempts += 1
        started = time.monotonic()
        try:
            servable = self._load(name, version, record.path)
        except Exception as error:  # whatever a broken version raises, the others must serve on
            self._note_failure(name, version, record, as_serving_error(error))
            return
        with self._lock:
            record.servable, record.error = servable, None
            record.state = _State.AVAILABLE
            self._available.setdefault(name, {})[version] = servable
            self._lock.notify_all()
        _log.info(
            "%s version %d AVAILABLE, loaded in %.1f s", name, version, time.monotonic() - started
        )
        self._on_change()

    def _note_failure(self, name, version, record, error) -> None:
        last = record.attempts > self._max_retries
        first_line = error.message.strip().splitlines()[0] if error.message.strip() else ""
        _log.error(
            "%s version %d could not be loaded (attempt %d of %d, %s): %s: %s",
            name,
            version,
            record.attempts,
            self._max_retries + 1,
            "given up" if last else f"next in {self._retry_seconds:g} s",
            error.code.name,
            first_line,
        )
        with self._lock:
            record.error = error
            record.next_attempt = time.monotonic() + self._retry_seconds
            if last:
                record.state = _State.END
            self._lock.notify_all()

    def _unload_unwanted(self) -> None:
        """Retires versions that are not aspired, once an aspired one of their model serves."""
        for name, records in list(self._versions.items()):
            aspired = self._aspired(name)
            if aspired and not any(record.state == _State.AVAILABLE for record in aspired):
                continue
            for version, record in records.items():
                if not record.aspired and record.state == _State.AVAILABLE:
                    self._retire(name, version, record)

    def _retire(self, name, version, record) -> None:
        with self._lock:
            del self._available[name][version]
            record.state = _State.UNLOADING
        record.servable.retire(self._wake.set)
        _log.info("%s version %d UNLOADING", name, version)
        self._on_change()

    def _close_idle(self) -> None:
        for name, records in self._versions.items():
            for version, record in records.items():
                if record.state == _State.UNLOADING and record.servable.idle:
                    record.servable.close()
                    with self._lock:
                        record.servable = None
                        record.state = _State.END
                    _log.info("%s version %d unloaded", name, version)

    def _unload_all(self) -> None:
        for name, records in self._versions.items():
            for version, record in records.items():
                record.aspired = False
                if record.state == _State.AVAILABLE:
                    self._retire(name, version, record)
        self._close_idle()


def check_config(config_list) -> None:
    """Checks a ModelConfigList as the stock server does.

    Raises:
        ServingError: INVALID_ARGUMENT or FAILED_PRECONDITION.
    """
    names = set()
    for config in config_list.config:
        if not config.name:
            raise invalid("Illegal to list a model without a name in config list")
        if config.name in names:
            raise invalid(f"Illegal to list model {config.name} multiple times in config list")
        names.add(config.name)
        if not os.path.isabs(config.base_path):
            raise invalid(
                f"Expected model {config.name} to have an absolute path or URI; got "
                f"base_path()={config.base_path}"
            )
        is_typed = config.model_type == model_server_config_pb2.TENSORFLOW
        if not config.model_platform and not is_typed:
            raise invalid(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {config.name}"
            )
        if config.model_platform not in ("tensorflow", ""):
            raise ServingError(
                StatusCode.FAILED_PRECONDITION,
                f"PlatformConfigMap has no entry for platform {config.model_platform}",
            )


def _aspired_versions(config) -> dict | None:
    """Version -> folder of what the policy wants of what is on disk; None: cannot look."""
    try:
        names = os.listdir(config.base_path)
    except OSError as error:
        _log.error(
            "Could not find base path %s for servable %s with error %s",
            config.base_path,
            config.name,
            error,
        )
        return None
    found = {}
    for name in names:
        path = os.path.join(config.base_path, name)
        # Digits alone: a folder under another name is being written, or is none of ours.
        is_number = name.isascii() and name.isdigit() and int(name) < 1 << 63
        if is_number and _is_saved_model(path):
            found[int(name)] = path
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        wanted = set(found)
    elif choice == "specific":
        wanted = set(policy.specific.versions) & set(found)
    else:
        newest = sorted(found, reverse=True)
        wanted = set(newest[: max(1, policy.latest.num_versions)])
    if not wanted:
        _log.warning(
            "No versions of servable %s found under base path %s. Did you forget to name your "
            "leaf directory as a number (eg. '/1/')?",
            config.name,
            config.base_path,
        )
    return {version: found[version] for version in wanted}


def _is_saved_model(path) -> bool:
    return any(
        os.path.isfile(os.path.join(path, name)) for name in ("saved_model.pb", "saved_model.pbtxt")
    )
