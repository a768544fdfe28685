"""Holds a server under load for a long time, and prints a Markdown table with a row per version.

    python scripts/soak.py --model_base_path=export --minutes=60

Clients (threads of a process of their own) send requests of one example for all signatures in
turns, without retries. Of a hundred requests one is bad: cut off, for a model, version or signature
that is not there, of a wrong data type, or of a giant shape. Every `--period` seconds the newest
version is published again under the next number, and the old one goes. The server is
`python -m serving.server` with the batching file of the deployment.

The exit code is 1 if a good request failed, or a bad one got another answer than a refusal.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import math
import multiprocessing
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from hali_tf.errors import UserError
from scripts.load_test import BATCHING, chosen, newest_version, signatures
from scripts.load_testing.requests import prepared_requests
from scripts.load_testing.servers import Server, embedded_server
from scripts.load_testing.soaking import Soaked, send

_HEADER = "| version | good | failed | bad | not refused | requests/s | p50 ms | p99 ms | MiB |"
_PER_SIGNATURE = 8  # different requests


def soak(arguments: argparse.Namespace, server: Server, base: pathlib.Path) -> bool:
    """Sends until the time is over, and prints a row per version; whether all went well."""
    source, name = newest_version(arguments.model_base_path), arguments.model_name
    definitions = signatures(server.target, name)
    requests = [
        request
        for signature in chosen(arguments.signatures, definitions)
        for request in prepared_requests(name, signature, definitions[signature], _PER_SIGNATURE)
    ]
    print(_HEADER, "|---" * _HEADER.count(" |") + "|", sep="\n", flush=True)
    is_fine = True
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as callers:
        for number in range(1, 1 + max(1, round(60 * arguments.minutes / arguments.period))):
            sent = callers.submit(
                send, server.target, requests, arguments.clients, arguments.period, number
            )
            if number > 1:
                publish(source, base, number)
            most = 0.0
            while not sent.done():
                most = max(most, resident_mib(server.pid))
                time.sleep(0.5)
            soaked = sent.result()
            print(row(number, soaked, most), flush=True)
            is_fine = is_fine and bool(soaked.good) and not soaked.failed and not soaked.not_refused
            for text in soaked.examples:
                print(text, file=sys.stderr)
            if soaked.failed == soaked.good:  # the server has gone
                break
            if number not in soaked.versions:
                print(f"version {number} did not answer while it was new", file=sys.stderr)
    return is_fine


def publish(source: str, base: pathlib.Path, number: int) -> None:
    """Copies a version beside, renames it to its number, and removes the one before the last."""
    shutil.copytree(source, base / ".incoming")
    os.rename(base / ".incoming", base / str(number))
    shutil.rmtree(base / str(number - 2), ignore_errors=True)


def row(number: int, soaked: Soaked, mib: float) -> str:
    """A line of the table."""
    cells = [
        number,
        soaked.good,
        soaked.failed,
        soaked.bad,
        soaked.not_refused,
        f"{soaked.rate:.0f}",
        f"{soaked.p50:.1f}",
        f"{soaked.p99:.1f}",
        f"{mib:.0f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def resident_mib(pid: int) -> float:
    """Memory of a process; NaN where the system does not say (it is Linux's way)."""
    try:
        text = pathlib.Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return math.nan
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model_base_path", required=True, metavar="DIR", help="exported versions")
    parser.add_argument("--model_name", default="hali", help="default %(default)s")
    parser.add_argument("--minutes", type=float, default=60.0, help="default %(default)s")
    parser.add_argument("--period", type=float, default=60.0, help="seconds between versions")
    parser.add_argument("--clients", type=int, default=16, help="default %(default)s")
    parser.add_argument("--signatures", default=[], type=lambda text: text.split(","))
    arguments = parser.parse_args(argv)
    if arguments.minutes <= 0 or arguments.period <= 0 or arguments.clients < 1:
        parser.error("--minutes, --period and --clients: expected numbers above 0")
    flags = ["--enable_batching=true", f"--batching_parameters_file={BATCHING}"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            base = pathlib.Path(folder)
            shutil.copytree(newest_version(arguments.model_base_path), base / "1")
            with embedded_server(folder, arguments.model_name, flags) as server:
                return 0 if soak(arguments, server, base) else 1
    except UserError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
