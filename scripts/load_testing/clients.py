"""Clients that send prepared bytes from threads; nothing here imports TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time

import grpc
import numpy as np

from serving.client.channel import FIRST_BACKOFF, LARGEST_BACKOFF

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CALL_TIMEOUT = 30.0  # seconds
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
]


def served(target: str, requests: list[bytes], clients: int, seconds: float) -> dict:
    """Sends requests from threads, each the next as soon as it has its answer.

    Args:
      target: host:port of the server.
      requests: serialized requests; a client sends one of them again and again.
      clients: number of threads, each with a connection of its own.
      seconds: how long they send.

    Returns:
      {"rate": answers a second, "p50", "p95", "p99": milliseconds, "errors": count,
      "errors_p99": milliseconds until an error, "error": text of the first}.
    """
    run = _Run(target, seconds, threading.Barrier(clients + 1))
    threads = [
        threading.Thread(target=run.client, args=(requests[i % len(requests)],), daemon=True)
        for i in range(clients)
    ]
    for thread in threads:
        thread.start()
    begin = run.start()
    for thread in threads:
        thread.join()
    # The last calls end after the window; time runs until they do.
    elapsed = max([begin + seconds, *(end for _, end in run.calls)]) - begin
    latencies = [1e3 * (end - start) for start, end in run.calls]
    return {
        "rate": len(run.calls) / elapsed,
        **{f"p{q}": percentile(latencies, q) for q in (50, 95, 99)},
        "errors": len(run.errors),
        "errors_p99": percentile([milliseconds for milliseconds, _ in run.errors], 99),
        "error": " ".join(run.errors[0][1].split())[:200] if run.errors else "",
    }


@dataclasses.dataclass
class _Run:
    """What the threads of one measurement share."""

    target: str
    seconds: float
    barrier: threading.Barrier
    end: float = 0.0
    calls: list[tuple[float, float]] = dataclasses.field(default_factory=list)  # (start, end)
    errors: list[tuple[float, str]] = dataclasses.field(default_factory=list)  # (ms, text)

    def start(self) -> float:
        """Waits until all clients are warm, and lets them go; returns the time."""
        self.barrier.wait()
        begin = time.perf_counter()
        self.end = begin + self.seconds
        self.barrier.wait()
        return begin

    def client(self, request: bytes) -> None:
        """Sends from one thread until the time is over."""
        times, errors, pause = [], [], FIRST_BACKOFF
        with grpc.insecure_channel(self.target, CHANNEL_OPTIONS) as channel:
            call = channel.unary_unary(PREDICT)
            with contextlib.suppress(grpc.RpcError):  # what fails here fails below, and counts
                for _ in range(2):
                    call(request, timeout=CALL_TIMEOUT)
            self.barrier.wait()
            self.barrier.wait()
            while time.perf_counter() < self.end:
                start = time.perf_counter()
                try:
                    call(request, timeout=CALL_TIMEOUT)
                except grpc.RpcError as error:
                    spent = 1e3 * (time.perf_counter() - start)
                    errors.append((spent, f"{error.code().name}: {error.details()}"))
                    time.sleep(pause)  # as HaliClient before it tries again
                    pause = min(2 * pause, LARGEST_BACKOFF)
                    continue
                pause = FIRST_BACKOFF
                times.append((start, time.perf_counter()))
        self.calls.extend(times)
        self.errors.extend(errors)


def percentile(values: list[float], q: float) -> float:
    """The q-th percentile by nearest rank; NaN of nothing."""
    return float(np.percentile(values, q, method="inverted_cdf")) if values else math.nan
