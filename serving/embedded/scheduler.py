"""Batching across requests, as in the stock server.

Requests share a queue if they ask the same servable for the same tensors. A batch whose rows have
different shapes fails as a whole, and so does one that a kernel refuses. Padding repeats the first
row of the last task.
"""

from __future__ import annotations

import collections
import contextvars
import dataclasses
import threading
import time
from concurrent import futures
from typing import Callable

import numpy as np
from grpc import StatusCode

from serving.embedded.batching import BatchingOptions
from serving.embedded.status import ServingError, invalid

Arrays = dict[str, np.ndarray]
Compute = Callable[[Arrays], list[np.ndarray]]

# Set by an endpoint for its thread: takes a function to call when the caller has gone.
when_caller_goes: contextvars.ContextVar[Callable[[Callable[[], object]], object]] = (
    contextvars.ContextVar("when_caller_goes", default=lambda forget: None)
)


@dataclasses.dataclass
class _Piece:
    """Rows `start` to `stop` of a task, and a future of their outputs."""

    feeds: Arrays
    start: int
    stop: int
    future: futures.Future = dataclasses.field(default_factory=futures.Future)

    @property
    def rows(self) -> int:
        return self.stop - self.start


@dataclasses.dataclass
class _Batch:
    """Pieces that run together."""

    compute: Compute
    opened: float
    pieces: list[_Piece] = dataclasses.field(default_factory=list)
    size: int = 0


class BatchScheduler:
    """Queues of batches, and the threads that all queues share."""

    def __init__(self, options: BatchingOptions):
        self._options = options
        self._timeout = options.batch_timeout_micros / 1e6
        self._changed = threading.Condition()
        # Only those with batches; oldest turn first.
        self._queues: dict[Compute, collections.deque[_Batch]] = {}
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(options.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, compute: Compute, feeds: Arrays) -> list[np.ndarray]:
        """Computes outputs of at least one row, together with other callers of the same function.

        Args:
          compute: feeds -> outputs, each with the batch in dimension 0.
          feeds: tensor name -> array.

        Raises:
          ServingError: INVALID_ARGUMENT for rows of unequal number, UNAVAILABLE for a full
            queue, CANCELLED where the caller has gone; or as `compute`.
        """
        rows = _count_rows(feeds)
        with self._changed:
            if self._closed:
                raise ServingError(StatusCode.UNAVAILABLE, "The batch scheduler is shut down")
            queue = self._queues.get(compute) or collections.deque()
            self._check_capacity(queue, rows)
            pieces = self._enqueue(queue, compute, feeds, rows)
            self._queues[compute] = queue
            self._changed.notify()
        for piece in pieces:
            when_caller_goes.get()(piece.future.cancel)
        try:
            parts = [piece.future.result() for piece in pieces]
        except BaseException as error:
            # What cannot be cancelled any more runs, and needs the caller's lease.
            futures.wait([piece.future for piece in pieces if not piece.future.cancel()])
            if isinstance(error, futures.CancelledError):
                raise ServingError(StatusCode.CANCELLED, "the caller has gone") from None
            raise
        return parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts)]

    def close(self) -> None:
        """Ends the threads, once what is queued has run."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _check_capacity(self, queue: collections.deque[_Batch], rows: int) -> None:
        options = self._options
        limit = options.execution_limit
        open_size = queue[-1].size if queue else 0
        if options.enable_large_batch_splitting:
            enqueued = len(queue)
            free = (options.max_enqueued_batches - enqueued) * limit
            free += limit - open_size if queue else 0
            if rows > free:
                raise ServingError(
                    StatusCode.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full; task "
                    f"size is {rows} but scheduling capacity is only {free} "
                    f"(num_enqueued_batches={enqueued}, "
                    f"max_enqueued_batches={options.max_enqueued_batches}, "
                    f"open_batch_size={open_size}, max_execution_batch_size={limit})",
                )
        elif open_size + rows > limit and len(queue) >= options.max_enqueued_batches:
            raise ServingError(
                StatusCode.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{len(queue)} batches enqueued and max_enqueued_batches is "
                f"{options.max_enqueued_batches}",
            )

    def _enqueue(
        self, queue: collections.deque[_Batch], compute: Compute, feeds: Arrays, rows: int
    ) -> list[_Piece]:
        """Puts a task's rows into the open batch and, split or whole, into new ones."""
        limit = self._options.execution_limit
        pieces: list[_Piece] = []
        start = 0
        while start < rows:
            room = limit - queue[-1].size if queue else 0
            if room < (1 if self._options.enable_large_batch_splitting else rows):
                queue.append(_Batch(compute, time.monotonic()))
                room = limit
            piece = _Piece(feeds, start, min(start + room, rows))
            queue[-1].pieces.append(piece)
            queue[-1].size += piece.rows
            pieces.append(piece)
            start = piece.stop
        return pieces

    def _work(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Waits for a batch and runs it; False when the scheduler is closed and empty.

        Afterwards the thread holds nothing of it, so that a version that is closed can be freed.
        """
        with self._changed:
            batch = self._take()
            # A full batch and the one opened behind it may have shared one notification.
            if self._queues:
                self._changed.notify()
        if batch is None:
            return False
        try:
            _compute(batch, self._options)
        except BaseException as error:  # the thread outlives whatever a request brings
            for piece in batch.pieces:
                if not piece.future.done():
                    piece.future.set_exception(error)
        return True

    def _take(self) -> _Batch | None:
        """Waits for a batch that may run; None when the scheduler is closed and empty."""
        while True:
            batch, seconds = self._next()
            if batch or (self._closed and not self._queues):
                return batch
            self._changed.wait(seconds)

    def _next(self) -> tuple[_Batch | None, float | None]:
        """A batch that may run; or None, and the seconds until one may, None without any."""
        least = None
        for compute, queue in self._queues.items():
            seconds = self._seconds_until_due(queue)
            if seconds <= 0:
                batch = queue.popleft()
                del self._queues[compute]
                if queue:  # to the end of the line: the other queues have their turn
                    self._queues[compute] = queue
                return batch, None
            least = seconds if least is None else min(least, seconds)
        return None, least

    def _seconds_until_due(self, queue: collections.deque[_Batch]) -> float:
        """Until the first batch may run."""
        first = queue[0]
        if len(queue) > 1 or first.size >= self._options.execution_limit or self._closed:
            return 0
        return first.opened + self._timeout - time.monotonic()


def _count_rows(feeds: Arrays) -> int:
    if not feeds:
        raise invalid("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in feeds.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {len(array) for array in feeds.values()}
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def _compute(batch: _Batch, options: BatchingOptions) -> None:
    """Runs one batch and gives each piece its own rows; without those whose callers have gone."""
    pieces = [piece for piece in batch.pieces if piece.future.set_running_or_notify_cancel()]
    if not pieces:
        return
    size = sum(piece.rows for piece in pieces)
    padded = options.padded_size(size)
    outputs = batch.compute(_merge(pieces, padded - size))
    _check_rows(outputs, padded)
    offset = 0
    for piece in pieces:
        piece.future.set_result([output[offset : offset + piece.rows] for output in outputs])
        offset += piece.rows


def _merge(pieces: list[_Piece], padding: int) -> Arrays:
    """Each input of all pieces as one array, with rows of padding."""
    merged = {}
    for name in pieces[0].feeds:
        arrays = [piece.feeds[name][piece.start : piece.stop] for piece in pieces]
        if any(array.shape[1:] != arrays[0].shape[1:] for array in arrays):
            raise ServingError(
                StatusCode.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and "
                "padding is turned off. Set pad_variable_length_inputs to true, or ensure that "
                "all tensors with the same name have equal dimensions starting with the first "
                "dim.",
            )
        if padding:
            arrays.append(np.repeat(arrays[-1][:1], padding, axis=0))
        merged[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return merged


def _check_rows(outputs: list[np.ndarray], rows: int) -> None:
    for output in outputs:
        if output.ndim == 0:
            raise ServingError(
                StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions"
            )
        if len(output) != rows:
            raise ServingError(
                StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors",
            )
