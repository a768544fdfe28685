"""Training on several machines: how its workers meet, what they tell each other, who is lost."""

from __future__ import annotations

import json
import os
import socket
import time
import zlib
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

from hali_tf.errors import UsageError, UserError


class WorkerLost(UserError):
    """Another worker has ended. All have to start again, and resume from the last checkpoint."""

    exit_code = 75  # "try again later", so that what starts the workers can tell it from an error


def addresses() -> tuple[list[str], int]:
    """The addresses HOST:PORT of all workers by TF_CONFIG, chief first, and which one this is.

    Without TF_CONFIG, or where it names no other worker, ([], 0).

    Raises:
      UsageError: it is not what `tf.distribute.MultiWorkerMirroredStrategy` takes.
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        found = json.loads(text)
        groups = {kind: list(addresses) for kind, addresses in found.get("cluster", {}).items()}
        workers = [*groups.pop("chief", []), *groups.pop("worker", [])]
        if groups:
            raise ValueError(f"it has tasks of type {', '.join(groups)}")
        if len(workers) < 2:
            return [], 0
        if len(set(workers)) < len(workers):
            raise ValueError("two workers have one address")
        kind, index = found["task"]["type"], int(found["task"]["index"])
        if index < 0:
            raise ValueError(f"index {index} is below 0")
        own = found["cluster"][kind][index]
        for address in workers:
            if not 0 < int(address.rpartition(":")[2]) < 65536:
                raise ValueError(f"{address}: no port from 1 to 65535")
        return workers, workers.index(own)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UsageError(
            f"TF_CONFIG={text}: expected JSON as "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}, '
            f"with workers and at most a chief ({type(error).__name__}: {error}); correct it, or "
            "unset it to train on this machine alone"
        ) from error


def join(workers: Sequence[str], own: int, minutes: float) -> tf.distribute.Strategy:
    """Waits until all workers are there; returns the strategy that they share.

    TensorFlow then connects them, which takes a moment. It waits for a worker that ends just then,
    and only SIGKILL ends that.

    Args:
      workers: addresses of all, as of `addresses`.
      own: which of them this one is.
      minutes: how long to wait.

    Raises:
      UserError: some did not come, or another process has this one's port.
    """
    _meet(workers, own, minutes)
    return tf.distribute.MultiWorkerMirroredStrategy()


def _meet(addresses, own, minutes):
    """Answers at the own port until each of the others has answered once.

    TensorFlow itself would wait forever and not say for whom.
    """
    until, missing = time.monotonic() + 60 * minutes, set(addresses) - {addresses[own]}
    port = int(addresses[own].rpartition(":")[2])
    both = socket.has_dualstack_ipv6()  # of the address families
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        listening = socket.create_server(
            ("", port), family=family, backlog=len(addresses), dualstack_ipv6=both
        )
    except OSError as error:
        raise UserError(
            f"TF_CONFIG: worker {own} cannot listen at {addresses[own]} ({error}); end the process "
            "that has the port, or name another one"
        ) from error
    with listening, futures.ThreadPoolExecutor(len(addresses)) as pool:
        while missing:
            left = until - time.monotonic()
            if left <= 0:
                names = [f"worker {n} ({a})" for n, a in enumerate(addresses) if a in missing]
                raise UserError(
                    f"TF_CONFIG: after {minutes:g} minutes (--worker_minutes) no answer from "
                    f"{', '.join(names)}; look at its log, start all workers together, and open "
                    "the ports between them"
                )
            asked = list(missing)  # all at once: a host that is silent costs its whole timeout
            answers = pool.map(_answers, asked, [min(5, left)] * len(asked))
            missing -= {address for address, answer in zip(asked, answers) if answer}
            if missing:
                time.sleep(0.2)


def _answers(address, seconds):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
        return True
    except OSError:
        return False


class Workers:
    """The processes that train a run together; one of them, the chief, writes its folder.

    All run the same steps. What they ask each other, all of them ask at the same point.

    Attributes:
      strategy: of all of them.
      count: of processes.
      chief: whether this one is the chief; True where there is one process.

    Args:
      strategy: as above.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        workers, own = addresses() if several else ([""], 0)
        self.strategy, self.count, self.chief = strategy, len(workers), own == 0
        self._gather = tf.function(self._gathered, autograph=False)

    def gather(self, numbers: Sequence[float]) -> np.ndarray:
        """What each worker says, float64 [workers, N], the chief first.

        Args:
          numbers: of this one, N; finite.
        """
        said = np.asarray(numbers, np.float64)
        if self.count == 1:
            return said[np.newaxis]
        rows = self.strategy.run(self._gather, args=(tf.constant(said),))
        rows = self.strategy.experimental_local_results(rows)[0].numpy()
        return rows[:: self.strategy.num_replicas_in_sync // self.count]

    def wait(self) -> None:
        """Returns when all workers have come to this point."""
        self.gather([0])

    @staticmethod
    def _gathered(numbers: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        place = tf.one_hot(
            context.replica_id_in_sync_group, context.num_replicas_in_sync, dtype=tf.float64
        )
        return context.all_reduce(tf.distribute.ReduceOp.SUM, place[:, None] * numbers)

    def from_chief(self, number: float) -> int:
        """The whole number that the chief says; those of others do not count."""
        return int(self.gather([number])[0, 0])

    def check_same(self, values: Mapping[str, Any]) -> None:
        """Compares by their text what has to be the same on all workers.

        Raises:
          UsageError: on every worker, if they differ.
        """
        rows = self.gather([_number(value) for value in values.values()])
        for worker, row in enumerate(rows):
            names = [name for name, differs in zip(values, row != rows[0]) if differs]
            if names:
                raise UsageError(
                    f"worker {worker} differs from the chief (worker 0) in {', '.join(names)}; "
                    "start all workers with the same flags and images"
                )


def _number(value):
    """A number that stands for a value's text."""
    return zlib.crc32(repr(value).encode())


def lost(error: Exception) -> bool:
    """Whether an error of TensorFlow means that another worker is gone."""
    kinds = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
    return isinstance(error, kinds) or (
        isinstance(error, tf.errors.OpError) and "Collective ops is aborted" in str(error)
    )
