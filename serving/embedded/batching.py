"""The stock server's parameters for batching across requests."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from hali_tf.errors import UsageError
from serving.embedded.protos import BatchingParameters, read_text


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

    @property
    def execution_limit(self) -> int:
        """Most rows in one run of the model."""
        if self.enable_large_batch_splitting:
            return self.max_execution_batch_size
        return self.max_batch_size

    def padded_size(self, size: int) -> int:
        """The allowed size that a batch of `size` rows is padded to."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)

    @property
    def capacity(self) -> int:
        """Requests of one row that can run or wait in one queue."""
        return (self.num_batch_threads + self.max_enqueued_batches) * self.execution_limit


def read_options(path: str) -> BatchingOptions:
    """Options from a text BatchingParameters file.

    Raises:
      UsageError: unreadable, or values that the stock server refuses or that this one lacks.
    """
    flag = "batching_parameters_file"
    message = read_text(path, BatchingParameters, flag)
    if message.pad_variable_length_inputs:
        raise UsageError(
            f"--{flag}={path}: pad_variable_length_inputs is not offered by the embedded server; "
            "leave it out"
        )
    values: dict[str, Any] = {"allowed_batch_sizes": tuple(message.allowed_batch_sizes)}
    names = {field.name for field in dataclasses.fields(BatchingOptions)} - set(values)
    values.update({name: getattr(message, name).value for name in names if message.HasField(name)})
    if "max_batch_size" in values:
        values.setdefault("max_execution_batch_size", values["max_batch_size"])
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
