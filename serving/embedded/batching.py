"""Batching across requests by the stock server's parameters.

As there, a queue is keyed by its input and output tensors, tasks with rows of other shapes fail
the batch they meet in, a kernel's error is the error of every task in the batch, and padding
repeats the first row of the batch's last task.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import threading
import time
from concurrent import futures

import numpy as np
from grpc import StatusCode

from hali_tf.errors import UsageError
from serving.embedded.protos import BatchingParameters, read_text
from serving.embedded.status import ServingError, invalid


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """The stock BatchingParameters, with the stock defaults."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 1000

    def padded_size(self, size: int) -> int:
        """The allowed size that a batch of `size` rows is padded to."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)

    @property
    def execution_limit(self) -> int:
        """Most rows in one run of the model."""
        if self.enable_large_batch_splitting:
            return self.max_execution_batch_size
        return self.max_batch_size


def read_options(path: str) -> BatchingOptions:
    """Options from a text BatchingParameters file.

    Raises:
        UsageError: unreadable, or values that the stock server refuses or that this one lacks.
    """
    flag = "batching_parameters_file"
    message = read_text(path, BatchingParameters, flag)
    values = {}
    for descriptor, value in message.ListFields():
        name = descriptor.name
        if name == "allowed_batch_sizes":
            values[name] = tuple(value)
        elif name == "pad_variable_length_inputs":
            raise UsageError(
                f"--{flag}={path}: pad_variable_length_inputs is not offered by the embedded "
                "server; leave it out"
            )
        elif name != "thread_pool_name":
            values[name] = value.value
    if "max_execution_batch_size" not in values and "max_batch_size" in values:
        values["max_execution_batch_size"] = values["max_batch_size"]
    options = BatchingOptions(**values)
    _validate(options, f"--{flag}={path}")
    return options


def _validate(options: BatchingOptions, source: str) -> None:
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if getattr(options, name) < 1:
            raise UsageError(f"{source}: {name} must be positive; was {getattr(options, name)}")
    if options.batch_timeout_micros < 0:
        raise UsageError(
            f"{source}: batch_timeout_micros must be non-negative; was "
            f"{options.batch_timeout_micros}"
        )
    if not 1 <= options.execution_limit <= options.max_batch_size:
        raise UsageError(
            f"{source}: max_execution_batch_size must be from 1 to max_batch_size "
            f"({options.max_batch_size}); was {options.max_execution_batch_size}"
        )
    sizes = options.allowed_batch_sizes
    if any(later <= earlier for earlier, later in zip((0,) + sizes, sizes)):
        raise UsageError(f"{source}: allowed_batch_sizes must increase; was {list(sizes)}")
    if sizes and sizes[-1] != options.execution_limit:
        raise UsageError(
            f"{source}: Last entry in allowed_batch_sizes must match max_batch_size; last entry "
            f"was {sizes[-1]}; expected {options.execution_limit}"
        )


class _Task:
    """One request: its rows go out in one piece or several and come back as one result."""

    def __init__(self, feeds, rows):
        self.feeds = feeds
        self.rows = rows
        self.future = futures.Future()
        self._lock = threading.Lock()
        self._started = None
        self._parts = {}
        self._missing = rows

    def start(self) -> bool:
        """Whether anybody still wants the result; from here on it cannot be cancelled."""
        with self._lock:
            if self._started is None:
                self._started = self.future.set_running_or_notify_cancel()
            return self._started

    def deliver(self, start, outputs, rows) -> None:
        """Takes the outputs of the rows from `start` on; the last piece completes the future."""
        with self._lock:
            self._parts[start] = outputs
            self._missing -= rows
            if self._missing or self.future.done():
                return
            parts = [self._parts[key] for key in sorted(self._parts)]
            if len(parts) == 1:
                self.future.set_result(parts[0])
            else:
                self.future.set_result([np.concatenate(column) for column in zip(*parts)])

    def fail(self, error) -> None:
        """Any piece that fails fails the task."""
        with self._lock:
            if self.future.done():
                return
            self.future.set_exception(error)


@dataclasses.dataclass
class _Piece:
    """Rows `start` to `stop` of a task."""

    task: _Task
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start


class _Batch:
    """Pieces that run together."""

    def __init__(self, opened):
        self.pieces = []
        self.size = 0
        self.opened = opened

    def add(self, piece) -> None:
        self.pieces.append(piece)
        self.size += piece.rows


class BatchScheduler:
    """Queues of batches, and the threads that all queues share."""

    def __init__(self, options: BatchingOptions):
        self._options = options
        self._timeout = options.batch_timeout_micros / 1e6
        self._changed = threading.Condition()
        self._queues = collections.OrderedDict()  # only those with batches; oldest turn first
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(options.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def schedule(self, key, feeds, rows) -> futures.Future:
        """Queues a request of at least one row.

        Args:
            key: (servable, fetches): what may run together.
            feeds: tensor name -> array with `rows` rows.

        Returns:
            A future of the list of arrays.

        Raises:
            ServingError: INVALID_ARGUMENT for too many rows, UNAVAILABLE for a full queue.
        """
        options = self._options
        if rows > options.max_batch_size:
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size {options.max_batch_size}"
            )
        task = _Task(feeds, rows)
        with self._changed:
            if self._closed:
                raise ServingError(StatusCode.UNAVAILABLE, "The batch scheduler is shut down")
            queue = self._queues.get(key) or collections.deque()
            self._check_capacity(queue, rows)
            self._enqueue(queue, task)
            self._queues[key] = queue
            self._changed.notify()
        return task.future

    def close(self) -> None:
        """Ends the threads, once what is queued has run."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _check_capacity(self, queue, rows) -> None:
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

    def _enqueue(self, queue, task) -> None:
        """Puts a task's rows into the open batch and, split or whole, into new ones."""
        limit = self._options.execution_limit
        start = 0
        while start < task.rows:
            left = task.rows - start
            room = limit - queue[-1].size if queue else 0
            if room < (1 if self._options.enable_large_batch_splitting else left):
                queue.append(_Batch(time.monotonic()))
                room = limit
            piece = _Piece(task, start, start + min(left, room))
            queue[-1].add(piece)
            start = piece.stop

    def _work(self) -> None:
        while True:
            with self._changed:
                taken = self._take()
                # A full batch and the one opened behind it may have shared one notification.
                if self._queues:
                    self._changed.notify()
            if taken is None:
                return
            _process(*taken, self._options)

    def _take(self):
        """Waits for a batch that may run; None when the scheduler is closed and empty."""
        while True:
            wait = None
            for key, queue in self._queues.items():
                due = self._due(queue)
                if due <= 0:
                    batch = queue.popleft()
                    del self._queues[key]
                    if queue:  # to the end of the line: the other queues have their turn
                        self._queues[key] = queue
                    return key, batch
                wait = due if wait is None else min(wait, due)
            if self._closed and not self._queues:
                return None
            self._changed.wait(wait)

    def _due(self, queue) -> float:
        """Seconds until the first batch may run."""
        first = queue[0]
        if len(queue) > 1 or first.size >= self._options.execution_limit or self._closed:
            return 0
        return first.opened + self._timeout - time.monotonic()


class BatchingRunner:
    """Runs requests through a `BatchScheduler`; requests without rows run by themselves."""

    def __init__(self, scheduler: BatchScheduler, direct):
        """`direct` is the `servable.DirectRunner` for what cannot be batched."""
        self._scheduler = scheduler
        self._direct = direct

    def submit(self, servable, feeds, fetches) -> futures.Future:
        """See `Servable.submit`."""
        if not feeds:
            raise invalid("Batching Run() must have at least one input tensor")
        if any(array.ndim == 0 for array in feeds.values()):
            raise invalid("Batching Run() input tensors must have at least one dimension")
        sizes = {len(array) for array in feeds.values()}
        if len(sizes) > 1:
            raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
        rows = sizes.pop()
        if rows == 0:
            return self._direct.submit(servable, feeds, fetches)
        return self._scheduler.schedule((servable, fetches, tuple(sorted(feeds))), feeds, rows)


def _process(key, batch, options) -> None:
    """Runs one batch and gives each task its own rows."""
    servable, fetches, _ = key
    pieces = [piece for piece in batch.pieces if piece.task.start()]
    if not pieces:
        return
    try:
        size = sum(piece.rows for piece in pieces)
        padded = options.padded_size(size)
        outputs = servable.run(_merge(pieces, padded - size), fetches)
        _check_rows(outputs, padded)
    except BaseException as error:  # a batch thread must outlive whatever a request brings
        for piece in pieces:
            piece.task.fail(error)
        return
    offset = 0
    for piece in pieces:
        stop = offset + piece.rows
        piece.task.deliver(piece.start, [out[offset:stop] for out in outputs], piece.rows)
        offset = stop


def _merge(pieces, padding) -> dict:
    """Each input of all pieces as one array, with rows of padding."""
    merged = {}
    for name in pieces[0].task.feeds:
        arrays = [piece.task.feeds[name][piece.start : piece.stop] for piece in pieces]
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


def _check_rows(outputs, rows) -> None:
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
