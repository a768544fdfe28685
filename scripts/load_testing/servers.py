"""Starts and stops the servers that are measured."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, NamedTuple

from hali_tf.errors import UserError
from serving.client import HaliClient, HaliClientError

ROOT = pathlib.Path(__file__).resolve().parents[2]
_START_TIMEOUT = 180.0  # seconds
_LOG_LINES = 30


class Server(NamedTuple):
    """A server that runs."""

    target: str  # host:port
    pid: int


@contextlib.contextmanager
def embedded_server(base_path: str, model: str, flags: list[str]) -> Iterator[Server]:
    """Starts `python -m serving.server` on free ports."""
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
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        )
        try:
            _wait_until_ready(f"localhost:{port}", model, server, log)
            yield Server(f"localhost:{port}", server.pid)
            if server.poll() is not None:
                raise UserError(f"the server ended by itself, {_end_of(server, log)}")
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


def _wait_until_ready(target: str, model: str, server: subprocess.Popen, log: IO[str]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    with HaliClient(target, model, retries=0, timeout=2) as client:
        while True:
            try:
                client.signatures()
                return
            except HaliClientError as error:
                reason = str(error)
            if server.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"the server did not start ({reason}), {_end_of(server, log)}")
            time.sleep(0.3)


def _end_of(server: subprocess.Popen, log: IO[str]) -> str:
    """How a server ended: its exit code and the end of its log."""
    log.seek(0)
    lines = log.read().strip().splitlines()[-_LOG_LINES:]
    return f"exit code {server.poll()}; the end of its log:\n" + "\n".join(lines)
