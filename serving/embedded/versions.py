"""One version of a model, and which versions a model should have."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import time
from typing import Callable

from grpc import StatusCode
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.embedded.servable import Servable
from serving.embedded.status import ServingError, as_serving_error, invalid

_log = logging.getLogger("serving.manager")

State = get_model_status_pb2.ModelVersionStatus.State


@dataclasses.dataclass
class Version:
    """One version of a model. The manager's thread alone changes it."""

    name: str
    number: int
    path: str
    state: int = State.START
    error: ServingError | None = None
    servable: Servable | None = None
    attempts: int = 0
    next_attempt: float = 0.0
    aspired: bool = True

    @property
    def settled(self) -> bool:
        """Whether it serves or has been given up."""
        return self.state in (State.AVAILABLE, State.END)

    @property
    def waiting(self) -> bool:
        """Whether it is still to be loaded."""
        return self.aspired and not self.settled

    def load(self, load: Callable, max_retries: int, retry_seconds: float) -> None:
        """Tries once to load it with `load(name, number, path)`.

        It is AVAILABLE afterwards, or has an error and the time of its next attempt, or is given
        up after `max_retries` further attempts.
        """
        self.state = State.LOADING
        self.attempts += 1
        started = time.monotonic()
        try:
            self.servable = load(self.name, self.number, self.path)
        except Exception as error:  # whatever a broken version raises, the others must serve on
            self._note_failure(as_serving_error(error), max_retries, retry_seconds)
            return
        self.error, self.state = None, State.AVAILABLE
        _log.info("%s AVAILABLE, loaded in %.1f s", self, time.monotonic() - started)

    def _note_failure(self, error: ServingError, max_retries: int, retry_seconds: float) -> None:
        is_last = self.attempts > max_retries
        _log.error(
            "%s could not be loaded (attempt %d of %d, %s): %s: %s",
            self,
            self.attempts,
            max_retries + 1,
            "given up" if is_last else f"next in {retry_seconds:g} s",
            error.code.name,
            next(iter(error.message.strip().splitlines()), ""),
        )
        self.next_attempt = time.monotonic() + retry_seconds
        self.error = error
        if is_last:
            self.state = State.END

    def retire(self, on_idle: Callable[[], None]) -> None:
        """Nobody asks for it any more; `on_idle` is called when its last request is answered."""
        if self.servable:
            self.servable.retire(on_idle)

    def close_if_idle(self) -> None:
        """Frees what was loaded, once nobody uses it."""
        if self.servable and self.servable.idle:
            self.servable.close()
            self.servable, self.state = None, State.END
            _log.info("%s unloaded", self)

    def fill_status(self, entry: get_model_status_pb2.ModelVersionStatus) -> None:
        """Writes its state into an empty ModelVersionStatus."""
        entry.version, entry.state = self.number, self.state
        entry.status.error_message = ""
        if self.error:
            entry.status.error_code = self.error.code.value[0]
            entry.status.error_message = self.error.short

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"


def check_config(config_list: model_server_config_pb2.ModelConfigList) -> None:
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
        if "://" in config.base_path:
            raise invalid(
                f"base_path of model {config.name}: {config.base_path} is not on a disk, and this "
                "server reads no other file systems"
            )
        if re.search(r"[\[*?\\]", config.base_path):
            raise invalid(
                f"base_path of model {config.name}: TensorFlow cannot read variables from "
                f"{config.base_path}, which has [, *, ? or \\ in it; rename the folder"
            )
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


def aspired_versions(config: model_server_config_pb2.ModelConfig) -> dict[int, str] | None:
    """Number -> folder of what the policy wants of what is on disk; None: cannot look."""
    try:
        names = os.listdir(config.base_path)
        folders = {name: os.path.join(config.base_path, name) for name in names if _is_number(name)}
        found = {int(name): path for name, path in folders.items() if _is_saved_model(path)}
        os.stat(config.base_path)  # it may have gone away since it was listed
    except OSError as error:
        _log.error(
            "Could not find base path %s for servable %s with error %s",
            config.base_path,
            config.name,
            error,
        )
        return None
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    wanted = sorted(found)
    if choice == "specific":
        wanted = [number for number in wanted if number in policy.specific.versions]
    elif choice != "all":
        wanted = wanted[-max(1, policy.latest.num_versions) :]
    if not wanted:
        _log.warning(
            "No versions of servable %s found under base path %s. Did you forget to name your "
            "leaf directory as a number (eg. '/1/')?",
            config.name,
            config.base_path,
        )
    return {number: found[number] for number in wanted}


def _is_number(name: str) -> bool:
    """Digits alone: a folder under another name is being written, or is none of ours."""
    return name.isascii() and name.isdigit() and int(name) < 1 << 63


def _is_saved_model(path: str) -> bool:
    names = ("saved_model.pb", "saved_model.pbtxt")
    return any(os.path.isfile(os.path.join(path, name)) for name in names)
