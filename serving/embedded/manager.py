"""Which versions of which models are loaded.

One thread looks at the base paths, loads what appears, and unloads what is no longer wanted: a new
version is loaded and warmed up before the old one goes, and that one goes after its last request.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable

from grpc import StatusCode
from tensorflow_serving.config import model_server_config_pb2

from serving.embedded.catalog import Catalog
from serving.embedded.servable import Servable
from serving.embedded.status import ServingError
from serving.embedded.versions import State, aspired_versions, check_config

_log = logging.getLogger("serving.manager")

_NEVER = float("inf")


class ModelManager(Catalog):
    """Loads, serves by name and version or label, and unloads.

    Args:
      load: (name, version, path) -> Servable, warmed up; raises where it cannot.
      poll_seconds: between looks at the base paths; 0 looks once, below 0 never.
      max_retries: further attempts after a load that failed.
      retry_seconds: between attempts.
      allow_labels_for_unavailable: a new label may name a version that is not loaded.
      on_change: called, in the manager's thread, when what is available or configured changed.
    """

    def __init__(
        self,
        load: Callable[[str, int, str], Servable],
        poll_seconds: float = 1.0,
        max_retries: int = 5,
        retry_seconds: float = 60.0,
        allow_labels_for_unavailable: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ):
        super().__init__()
        self._load = load
        self._poll_seconds = poll_seconds
        self._max_retries = max_retries
        self._retry_seconds = retry_seconds
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._on_change = on_change
        self._generation = 0  # of the configuration
        self._looked_at = 0  # the newest generation whose base paths have been looked at
        self._next_poll = 0.0 if poll_seconds >= 0 else _NEVER
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="model-manager", daemon=True)

    def start(self, config_list: model_server_config_pb2.ModelConfigList) -> None:
        """Begins to load; returns at once. See `wait_until_settled`.

        Raises:
          ServingError: as `apply`.
        """
        self.apply(config_list)
        self._thread.start()

    def wait_until_settled(self, new: set[str] | None = None) -> None:
        """Waits until each new model has its versions loaded or given up, or is replaced itself.

        A new model without any version on disk is waited for, as the stock server does. Models
        that serve already do not hold up the rest: their versions are tried once.

        Args:
          new: names of the new models; None: all are.

        Raises:
          ServingError: UNKNOWN, every version of a new model failed; UNAVAILABLE, the manager was
          interrupted.
        """
        with self.lock:
            generation = self._generation
            new = set(self.configs) if new is None else new & set(self.configs)

            def is_over() -> bool:
                return self._closing or self._generation != generation or self._is_settled(new)

            self.lock.wait_for(is_over)
            if self._closing:
                raise ServingError(StatusCode.UNAVAILABLE, "the server is shutting down")
            if self._generation != generation:
                return
            failed = {n: self.aspired(n)[-1].error for n in new if not self.available(n)}
        if failed:
            reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
            raise ServingError(
                StatusCode.UNKNOWN,
                f"{len(failed)} servable(s) did not become available: {{{reasons}}}",
            )

    def interrupt(self) -> None:
        """Nothing more is loaded, and nobody waits any more. What is loaded serves on."""
        with self.lock:
            self._closing = True
            self.lock.notify_all()
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Unloads everything that is idle; waits `timeout` seconds for a load that has begun."""
        self.interrupt()
        if self._thread.ident:
            self._thread.join(timeout)
        for version in self.all_versions():
            version.aspired = False
        self._unload_unwanted()

    def apply(self, config_list: model_server_config_pb2.ModelConfigList) -> set[str]:
        """Replaces the whole configuration, without waiting for what has to be loaded.

        Returns:
          The names of its new models.

        Raises:
          ServingError: the configuration is invalid, or a label names a version that is not
            available, and nothing changed.
        """
        check_config(config_list)
        with self.lock:
            new = self.configure(config_list.config, self._allow_labels_for_unavailable)
            self._generation += 1
            self.lock.notify_all()
        self._wake.set()
        return new

    def _is_settled(self, new: set[str]) -> bool:
        if self._looked_at != self._generation:
            return False
        for name in self.configs:
            aspired = self.aspired(name)
            if name in new and not aspired:
                return False
            if not all(each.settled or (each.error and name not in new) for each in aspired):
                return False
        return True

    # The thread.

    def _run(self) -> None:
        while True:
            self._wake.clear()
            if self._closing:  # looked at after `clear`, so that `interrupt` is not missed
                return
            try:
                self._step()
            except Exception:  # the thread outlives whatever a disk or a model does
                _log.exception("looking for versions failed; next try in a second")
                self._wake.wait(1)

    def _step(self) -> None:
        now = time.monotonic()
        # A new configuration is looked at without waiting for the next poll.
        is_due = now >= self._next_poll or self._looked_at != self._generation
        if self._poll_seconds >= 0 and is_due:
            self._look()
            self._next_poll = now + self._poll_seconds if self._poll_seconds else _NEVER
        for version in self.all_versions():
            if version.waiting and version.next_attempt <= now and not self._closing:
                version.load(self._load, self._max_retries, self._retry_seconds)
                self._announce()
        self._unload_unwanted()
        due = [version.next_attempt for version in self.all_versions() if version.waiting]
        pause = min([self._next_poll, *due]) - time.monotonic()
        self._wake.wait(None if pause == _NEVER else max(0.0, pause))

    def _announce(self) -> None:
        with self.lock:
            self.lock.notify_all()
        self._on_change()

    def _look(self) -> None:
        """Compares what is on disk with what is known."""
        with self.lock:
            configs, generation = dict(self.configs), self._generation
        for name in set(configs) | set(self.versions):
            found = aspired_versions(configs[name]) if name in configs else {}
            if found is not None:  # None: the base path is away; what serves, stays
                with self.lock:
                    self.aspire(name, found)
        with self.lock:
            is_new, self._looked_at = self._looked_at != generation, generation
            self.lock.notify_all()
        if is_new:  # a model that never answered may have gone
            self._on_change()

    def _unload_unwanted(self) -> None:
        """Retires versions that are not aspired, once an aspired one of their model serves.

        They are closed when their last request is answered.
        """
        for version in self.all_versions():
            aspired = self.aspired(version.name)
            is_replaced = not aspired or any(one.state == State.AVAILABLE for one in aspired)
            if version.state == State.AVAILABLE and not version.aspired and is_replaced:
                with self.lock:
                    version.state = State.UNLOADING
                _log.info("%s UNLOADING", version)
                self._on_change()
                version.retire(self._wake.set)
            if version.state == State.UNLOADING:
                version.close_if_idle()
        self.leaving = [version for version in self.leaving if version.servable]
