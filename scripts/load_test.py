"""Measures a served model beside the same model in-process, and prints a Markdown table.

    python scripts/load_test.py --model_base_path=export --out=load_test.md

For each signature, in one run and in turns, so that a busy moment of the machine hits all alike:

  in-process   a bare TensorFlow session, as the servers use it: the median latency of one example,
               and examples a second at the best of several batch sizes
  served       requests of one example over gRPC on loopback, from 1, 8 and 32 clients at a time,
               without and with batching: requests a second, 50th, 95th, 99th percentile

The servers are `python -m serving.server`, started here; --target measures a running server (the
stock one, say) instead. Clients are threads of a process of their own that send bytes prepared
before, so that they take little of the processor from the server.

Takes about (client counts x 2 + 1.5) x --seconds for each signature.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import datetime
import multiprocessing
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCHING = ROOT / "serving/deploy/base/config/server/batching.pbtxt"
BATCH_SIZES = (1, 8, 16, 32, 64)
# The targets on two cores.
THROUGHPUT_TARGET, LATENCY_TARGET_MS = 0.8, 5.0

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_CALL_TIMEOUT = 30.0  # seconds
_START_TIMEOUT = 180.0
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
]


class LoadTestError(Exception):
    """What the user can mend, in one line."""


# In-process, in a child process.


_session = None  # of the child process: opened by its first call, kept for the others


def in_process(version_dir: str, signature: str, seconds: float) -> dict:
    """Rates of one signature in a bare session.

    Returns:
        {"p50_ms": median latency at batch 1, "rates": {batch size: examples a second}}.
    """
    definition, session = _load(version_dir)[signature], _session
    ((name, info),) = definition.inputs.items()
    run = session.make_callable(
        [output.name for output in definition.outputs.values()], feed_list=[info.name]
    )
    rates, latencies = {}, []
    for size in BATCH_SIZES:
        batch = make_inputs(signature, name, info, size, seed=size)
        run(batch)
        run(batch)
        times = []
        end = time.perf_counter() + seconds / (2 if size == 1 else len(BATCH_SIZES))
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            run(batch)
            times.append(time.perf_counter() - start)
        rates[size] = size * len(times) / sum(times)
        if size == 1:
            latencies = times
    return {"p50_ms": 1e3 * statistics.median(latencies), "rates": rates}


def _load(version_dir: str) -> dict:
    """The signatures; leaves the session open for the process's next calls."""
    global _session
    import tensorflow as tf

    if _session is None:
        tf.get_logger().setLevel("ERROR")  # the loader's deprecation; the servers load this way
        _session = tf.compat.v1.Session(graph=tf.Graph())
        with _session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.loader.load(
                _session, [tf.saved_model.SERVING], version_dir
            )
        _session.signature_def = dict(meta_graph.signature_def)
    return _session.signature_def


def make_inputs(signature: str, name: str, info, size: int, seed: int):
    """A batch that the signature takes: noise, which costs what pictures cost.

    Args:
        signature: its name, for the error message.
        name: of its input.
        info: TensorInfo of its input.
        size: examples.
        seed: of the noise.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    shape = [size] + [dim.size for dim in info.tensor_shape.dim][1:]
    if info.dtype == 4:  # the numbers are those of tensorflow/core/framework/types.proto
        return random.integers(0, 256, shape, np.uint8)
    if info.dtype == 1:
        return random.standard_normal(shape, np.float32)
    if info.dtype == 9:
        return random.integers(0, 2**31, shape, np.int64)
    if info.dtype == 7:
        return np.array([_example(random) for _ in range(size)], object)
    raise LoadTestError(f"{signature}: input {name} has a data type that no hali_tf export has")


def _example(random) -> bytes:
    """A serialized tf.Example with a picture, for the Classify RPC's signature."""
    import io

    import numpy as np
    from PIL import Image
    from tensorflow.core.example import example_pb2

    png = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(png, "PNG")
    example = example_pb2.Example()
    example.features.feature["image/encoded"].bytes_list.value.append(png.getvalue())
    return example.SerializeToString()


# Served: clients, in a child process that never imports TensorFlow.


def served(target: str, requests: list[bytes], clients: int, seconds: float) -> dict:
    """Sends requests from `clients` threads, each the next as soon as it has its answer.

    Returns:
        {"rate": answers a second, "p50", "p95", "p99": milliseconds, "errors": count,
        "error": text of the first}.
    """
    import grpc

    barrier = threading.Barrier(clients + 1)
    answered, errors = [[] for _ in range(clients)], []
    window = {}

    def client(index: int) -> None:
        request, times = requests[index % len(requests)], answered[index]
        with grpc.insecure_channel(target, _CHANNEL_OPTIONS) as channel:
            call = channel.unary_unary(_PREDICT)
            with contextlib.suppress(grpc.RpcError):  # what fails here fails below, and counts
                for _ in range(2):
                    call(request, timeout=_CALL_TIMEOUT)
            barrier.wait()
            barrier.wait()
            while time.perf_counter() < window["end"]:
                start = time.perf_counter()
                try:
                    call(request, timeout=_CALL_TIMEOUT)
                except grpc.RpcError as error:
                    errors.append(f"{error.code().name}: {error.details()}")
                    time.sleep(0.01)
                    continue
                times.append((start, time.perf_counter()))

    threads = [threading.Thread(target=client, args=(i,), daemon=True) for i in range(clients)]
    for thread in threads:
        thread.start()
    barrier.wait()
    begin = time.perf_counter()
    window["end"] = begin + seconds
    barrier.wait()
    for thread in threads:
        thread.join()
    calls = [call for times in answered for call in times]
    # The last calls end after the window; time runs until they do.
    elapsed = max((end for _, end in calls), default=begin + seconds) - begin
    latencies = sorted(1e3 * (end - start) for start, end in calls)
    return {
        "rate": len(calls) / elapsed,
        **{f"p{q}": percentile(latencies, q) for q in (50, 95, 99)},
        "errors": len(errors),
        "error": " ".join(errors[0].split())[:200] if errors else "",
    }


def percentile(ordered: list[float], q: float) -> float:
    """The q-th percentile by nearest rank; NaN of nothing."""
    if not ordered:
        return float("nan")
    rank = -(-q * len(ordered) // 100)
    return ordered[max(int(rank), 1) - 1]


def prepared_requests(model: str, signature: str, definition, count: int) -> list[bytes]:
    """Serialized Predict requests of one example each."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    ((name, info),) = definition.inputs.items()
    requests = []
    for seed in range(count):
        tensor = tf.make_tensor_proto(make_inputs(signature, name, info, 1, seed))
        request = predict_pb2.PredictRequest(inputs={name: tensor})
        request.model_spec.name, request.model_spec.signature_name = model, signature
        requests.append(request.SerializeToString())
    return requests


# The servers.


@contextlib.contextmanager
def embedded_server(base_path: str, model: str, flags: list[str]):
    """Starts `python -m serving.server` on free ports; gives its host:port."""
    port, rest_port = _free_port(), _free_port()
    command = [
        sys.executable,
        "-m",
        "serving.server",
        f"--model_base_path={base_path}",
        f"--model_name={model}",
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        *flags,
    ]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(f"localhost:{port}", model, server, log)
            yield f"localhost:{port}"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def _wait_until_ready(target: str, model: str, server, log) -> None:
    from serving.client import HaliClient, HaliClientError

    deadline = time.monotonic() + _START_TIMEOUT
    with HaliClient(target, model, retries=0, timeout=2) as client:
        while True:
            try:
                client.signatures()
                return
            except HaliClientError as error:
                reason = str(error)
            if server.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                last = (log.read().strip().splitlines() or [reason])[-1]
                raise LoadTestError(f"the server did not start: {last}")
            time.sleep(0.3)


# The run.


def measure(arguments, version_dir: str, progress) -> dict:
    """All measurements: {signature: {"in_process": ..., ("batching", clients): ...}}."""
    from serving.client import HaliClient, HaliClientError

    model, results = arguments.model_name, {}
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        if arguments.target:
            targets = {"target": arguments.target}
        else:
            base, batching = (
                str(pathlib.Path(version_dir).parent),
                [
                    "--enable_batching=true",
                    f"--batching_parameters_file={arguments.batching_parameters_file}",
                ],
            )
            progress("starting the servers")
            targets = {
                "no": stack.enter_context(embedded_server(base, model, [])),
                "yes": stack.enter_context(embedded_server(base, model, batching)),
            }
        try:
            with HaliClient(next(iter(targets.values())), model) as client:
                definitions = client.signatures()
        except HaliClientError as error:
            raise LoadTestError(str(error)) from None
        bare = stack.enter_context(concurrent.futures.ProcessPoolExecutor(1, spawn))
        callers = stack.enter_context(concurrent.futures.ProcessPoolExecutor(1, spawn))
        for signature in _chosen(arguments.signatures, definitions):
            progress(f"{signature}: in-process")
            row = {
                "in_process": bare.submit(
                    in_process, version_dir, signature, arguments.seconds
                ).result()
            }
            requests = prepared_requests(
                model, signature, definitions[signature], max(arguments.clients)
            )
            for batching, target in targets.items():
                for clients in arguments.clients:
                    row[batching, clients] = measured = callers.submit(
                        served, target, requests, clients, arguments.seconds
                    ).result()
                    progress(
                        f"{signature}: {clients} clients, batching {batching}: "
                        f"{measured['rate']:.0f}/s"
                    )
            results[signature] = row
    return results


def _chosen(wanted: list[str], definitions) -> list[str]:
    if not wanted:  # serving_default is encode under its other name
        return [
            name
            for name in sorted(definitions)
            if len(definitions[name].inputs) == 1 and name != "serving_default"
        ]
    unknown = [name for name in wanted if name not in definitions]
    if unknown:
        raise LoadTestError(
            f"--signatures={','.join(wanted)}: the model has no {unknown[0]}; it "
            f"has {', '.join(sorted(definitions))}"
        )
    return wanted


# The report.


def report(results: dict, arguments, description: str) -> str:
    """The tables in Markdown."""
    lines = [description, ""]
    lines += _table(
        [
            "signature",
            "batching",
            "clients",
            "requests/s",
            "of best in-process",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "errors",
        ],
        [
            [
                f"`{signature}`",
                *key,
                f"{m['rate']:.0f}",
                f"{m['rate'] / _best(row)[1]:.0%}",
                *(f"{m[p]:.1f}" for p in ("p50", "p95", "p99")),
                m["errors"],
            ]
            for signature, row in results.items()
            for key, m in row.items()
            if key != "in_process"
        ],
    )
    lines += ["", "In-process, a bare session:", ""]
    lines += _table(
        ["signature", "batch 1: p50 ms", *(f"batch {size}: examples/s" for size in BATCH_SIZES)],
        [
            [
                f"`{signature}`",
                f"{row['in_process']['p50_ms']:.2f}",
                *(f"{row['in_process']['rates'][size]:.0f}" for size in BATCH_SIZES),
            ]
            for signature, row in results.items()
        ],
    )
    lines += [
        "",
        f"Targets: at least {THROUGHPUT_TARGET:.0%} of the best in-process rate with 32 "
        f"clients and batching; one client's p50 at most {LATENCY_TARGET_MS:g} ms above "
        "in-process.",
        "",
    ]
    lines += _table(
        [
            "signature",
            "rate, 32 clients, batching",
            "met",
            "p50 above in-process, 1 client, batching no / yes",
            "met",
        ],
        [[f"`{signature}`", *_targets(row)] for signature, row in results.items()],
    )
    errors = [
        f"{signature}, batching {key[0]}, {key[1]} clients: {m['error']}"
        for signature, row in results.items()
        for key, m in row.items()
        if key != "in_process" and m["errors"]
    ]
    if errors:
        lines += ["", "First errors:", "", *(f"- {error}" for error in errors)]
    return "\n".join(lines) + "\n"


def _best(row) -> tuple[int, float]:
    """(batch size, examples a second) of the best in-process rate."""
    return max(row["in_process"]["rates"].items(), key=lambda pair: pair[1])


def _targets(row) -> list[str]:
    """The cells of a signature in the table of targets; `-` for what was not measured."""
    served_rate = row.get(("yes", 32)) or row.get(("target", 32))
    cells = ["-", "-"]
    if served_rate:
        ratio = served_rate["rate"] / _best(row)[1]
        cells = [f"{ratio:.0%}", "yes" if ratio >= THROUGHPUT_TARGET else "no"]
    above = [
        row[key, 1]["p50"] - row["in_process"]["p50_ms"]
        for key in ("no", "yes", "target")
        if (key, 1) in row
    ]
    if not above:
        return cells + ["-", "-"]
    met = all(milliseconds <= LATENCY_TARGET_MS for milliseconds in above)
    return cells + [" / ".join(f"{ms:.1f} ms" for ms in above), "yes" if met else "no"]


def _table(header: list, rows: list[list]) -> list[str]:
    def line(cells):
        return "| " + " | ".join(str(cell) for cell in cells) + " |"

    return [line(header), line(["---"] + ["--:"] * (len(header) - 1)), *map(line, rows)]


def _describe(arguments, version_dir: str) -> str:
    """One paragraph: what was measured, when, on what."""
    import importlib.metadata

    server = (
        "the server at --target"
        if arguments.target
        else (
            "`serving.server`, batching by "
            f"`{os.path.relpath(arguments.batching_parameters_file, ROOT)}`"
        )
    )
    return (
        f"Measured {datetime.date.today()} on {os.cpu_count()} cores ({_processor()}), TensorFlow "
        f"{importlib.metadata.version('tensorflow')}, Python {platform.python_version()}: "
        f"{server}, version {os.path.basename(version_dir)}, {arguments.seconds:g} s a cell. Requests of one "
        "example on loopback; clients and server share the cores."
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def newest_version(base_path: str) -> str:
    """The folder of the highest version.

    Raises:
        LoadTestError: there is none.
    """
    folder = pathlib.Path(base_path)
    versions = [
        path
        for path in folder.glob("*")
        if path.name.isdigit() and (path / "saved_model.pb").is_file()
    ]
    if not versions:
        raise LoadTestError(
            f"--model_base_path={base_path}: no version there (a folder with a number for a name "
            "and saved_model.pb in it); write one with python -m hali_tf.export"
        )
    return str(max(versions, key=lambda path: int(path.name)).resolve())


def _counts(text: str) -> list[int]:
    counts = [int(count) for count in text.split(",")]
    if not all(1 <= count <= 256 for count in counts):
        raise ValueError(text)
    return counts


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 60:
        raise ValueError(text)
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model_base_path",
        required=True,
        metavar="DIR",
        help="folder of exported versions; the newest is measured in-process",
    )
    parser.add_argument("--model_name", default="hali", help="default %(default)s")
    parser.add_argument(
        "--target", metavar="HOST:PORT", help="measure this server, which serves the same version"
    )
    parser.add_argument(
        "--clients",
        type=_counts,
        default=[1, 8, 32],
        metavar="1,8,32",
        help="numbers of clients, each 1 to 256",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=5.0,
        help="for each cell, 0.1 to 60 (default %(default)s)",
    )
    parser.add_argument(
        "--signatures",
        default=[],
        metavar="encode,sample",
        type=lambda text: text.split(","),
        help="default: all",
    )
    parser.add_argument(
        "--batching_parameters_file",
        default=str(BATCHING),
        metavar="FILE",
        type=os.path.abspath,
        help="default: the deployment's",
    )
    parser.add_argument("--out", metavar="FILE.md", help="default: only printed")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    start = time.monotonic()

    def progress(text):
        print(f"[{time.monotonic() - start:5.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        if arguments.out and not os.path.isdir(os.path.dirname(arguments.out) or "."):
            raise LoadTestError(f"--out={arguments.out}: there is no such folder")
        version_dir = newest_version(arguments.model_base_path)
        results = measure(arguments, version_dir, progress)
    except LoadTestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = report(results, arguments, _describe(arguments, version_dir))
    print(text)
    if arguments.out:
        beside = f"{arguments.out}.part"
        pathlib.Path(beside).write_text(text, encoding="utf-8")
        os.replace(beside, arguments.out)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
