"""Clients of the soak: good and bad requests from threads; nothing here imports TensorFlow."""

from __future__ import annotations

import dataclasses
import random
import threading
import time

import grpc

from scripts.load_testing.clients import CALL_TIMEOUT, CHANNEL_OPTIONS, PREDICT, percentile
from serving.client import messages_pb2

_BAD_SHARE = 0.01
_MAX_EXAMPLES = 5  # of what went wrong, to be shown
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}


@dataclasses.dataclass
class Soaked:
    """What became of the requests."""

    good: int = 0
    failed: int = 0  # of the good ones
    bad: int = 0
    not_refused: int = 0  # of the bad ones
    rate: float = 0.0  # good answers a second
    p50: float = 0.0  # milliseconds
    p99: float = 0.0
    versions: set[int] = dataclasses.field(default_factory=set)  # that answered
    examples: list[str] = dataclasses.field(default_factory=list)


def send(target: str, requests: list[bytes], clients: int, seconds: float, seed: int) -> Soaked:
    """Sends requests from threads for some seconds, each the next when it has its answer.

    Args:
      target: host:port of the server.
      requests: serialized good requests.
      clients: number of threads, each with a connection of its own.
      seconds: how long they send.
      seed: of the choice of requests.
    """
    soaked, latencies, lock = Soaked(), [], threading.Lock()
    end = time.monotonic() + seconds

    def client(index: int) -> None:
        rng = random.Random(seed * 1000 + index)
        with grpc.insecure_channel(target, CHANNEL_OPTIONS) as channel:
            call = channel.unary_unary(
                PREDICT, response_deserializer=messages_pb2.PredictResponse.FromString
            )
            while time.monotonic() < end:
                request, is_good = rng.choice(requests), rng.random() >= _BAD_SHARE
                start = time.perf_counter()
                try:
                    answer = call(
                        request if is_good else bad_request(request, rng), timeout=CALL_TIMEOUT
                    )
                    error = None
                except grpc.RpcError as raised:
                    error = raised
                with lock:
                    if is_good and not error:
                        latencies.append(1e3 * (time.perf_counter() - start))
                        soaked.versions.add(answer.model_spec.version.value)
                    _count(soaked, is_good, error)

    threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    soaked.rate = len(latencies) / seconds
    soaked.p50, soaked.p99 = percentile(latencies, 50), percentile(latencies, 99)
    return soaked


def _count(soaked: Soaked, is_good: bool, error: grpc.RpcError | None) -> None:
    text = f"{error.code().name}: {error.details()}" if error else "a bad request was answered"
    if is_good:
        soaked.good += 1
        soaked.failed += bool(error)
        is_fine = not error
    else:
        soaked.bad += 1
        is_fine = error is not None and error.code() in REFUSALS
        soaked.not_refused += not is_fine
    if not is_fine and len(soaked.examples) < _MAX_EXAMPLES:
        soaked.examples.append(text[:300])


def bad_request(data: bytes, rng: random.Random) -> bytes:
    """A good Predict request made bad in one of six ways."""
    kind = rng.randrange(6)
    if kind == 0:
        return data[: len(data) // 2]
    request = messages_pb2.PredictRequest.FromString(data)
    ((_, tensor),) = request.inputs.items()
    if kind == 1:
        request.model_spec.name = "nobody"
    elif kind == 2:
        request.model_spec.signature_name = "nothing"
    elif kind == 3:
        request.model_spec.version.value = 10**9
    elif kind == 4:
        tensor.dtype = messages_pb2.DT_STRING if tensor.dtype != messages_pb2.DT_STRING else 1
    else:
        tensor.tensor_shape.dim[0].size = 1 << 40
    return request.SerializeToString()
