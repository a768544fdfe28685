"""A pool of threads for calls, of which so many may wait."""

from __future__ import annotations

from concurrent import futures
from typing import Any, Callable


class CallThreads(futures.ThreadPoolExecutor):
    """Threads for calls; its owner asks `is_full` before it takes another.

    Attributes:
      calls: those that run or wait.

    Args:
      threads: calls at a time.
      max_waiting: further ones that may wait for a thread.
      name: of the threads.
    """

    def __init__(self, threads: int, max_waiting: int, name: str):
        super().__init__(threads, name)
        self._most = threads + max_waiting
        self.calls: set[futures.Future] = set()

    @property
    def is_full(self) -> bool:
        """Whether one more call would be one too many."""
        return len(self.calls) >= self._most

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> futures.Future:
        """See `concurrent.futures.Executor`."""
        call = super().submit(fn, *args, **kwargs)
        self.calls.add(call)
        call.add_done_callback(self.calls.discard)
        return call
