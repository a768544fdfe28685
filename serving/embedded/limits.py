"""What a request may ask for: a few bytes must not take gigabytes, nor hold up everybody else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from grpc import StatusCode

from serving.embedded.signatures import Tensor
from serving.embedded.status import ServingError, invalid


class TooLarge(ServingError):
    """INVALID_ARGUMENT: a request beyond the limits."""

    def __init__(self, message: str):
        super().__init__(StatusCode.INVALID_ARGUMENT, message)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds on one request: its examples, and the bytes of its message and of its answer."""

    max_examples: int = 256
    max_message_bytes: int = 64 << 20

    def check(self, arrays: Mapping[str, np.ndarray], outputs: Iterable[Tensor]) -> None:
        """Refuses what would cost too much, before it is computed, and numbers that are none.

        Args:
          arrays: the inputs by alias.
          outputs: what is wanted.

        Raises:
          ServingError: INVALID_ARGUMENT.
        """
        rows = max((len(array) for array in arrays.values() if array.ndim), default=0)
        if rows > self.max_examples:
            raise TooLarge(
                f"Task size {rows} is larger than maximum input batch size {self.max_examples}"
            )
        size = rows * sum(tensor.row_bytes for tensor in outputs)
        if size > self.max_message_bytes:
            raise TooLarge(
                f"the answer to {rows} examples would have {size} bytes, and a message may have "
                f"{self.max_message_bytes}; send fewer examples"
            )
        for alias, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise invalid(f"{alias} has values that are NaN or infinite; send finite numbers")
