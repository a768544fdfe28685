"""The Markdown report of a load test."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import pathlib
import platform

from scripts.load_testing.bare import BATCH_SIZES

# The targets on two cores.
THROUGHPUT_TARGET, LATENCY_TARGET_MS = 0.8, 5.0


def report(results: dict, description: str, examples: int) -> str:
    """The tables in Markdown.

    Args:
      results: {signature: {"in_process": ..., (batching, clients): ...}}, the values as
        `bare.in_process` and `clients.served` give them.
      description: the first paragraph.
      examples: of each request.
    """
    lines = [
        description,
        "",
        *_served_table(results, examples),
        "",
        "In-process, a bare session:",
        "",
    ]
    lines += _bare_table(results)
    lines += [
        "",
        f"Targets: at least {THROUGHPUT_TARGET:.0%} of the best in-process rate with 32 "
        f"clients and batching; one client's p50 at most {LATENCY_TARGET_MS:g} ms above "
        "in-process.",
        "",
    ]
    above = "p50 above in-process, 1 client, batching no / yes"
    lines += _table(
        ["signature", "rate, 32 clients, batching", "met", above, "met"],
        [[f"`{signature}`", *_targets(row, examples)] for signature, row in results.items()],
    )
    errors = [
        f"- {signature}, batching {batching}, {clients} clients: {measured['error']}"
        for signature, (batching, clients), measured in _served(results)
        if measured["errors"]
    ]
    if errors:
        lines += ["", "First errors:", "", *errors]
    return "\n".join(lines) + "\n"


def _served(results: dict) -> list[tuple]:
    """(signature, (batching, clients), measured) of all that was served."""
    return [
        (signature, key, measured)
        for signature, row in results.items()
        for key, measured in row.items()
        if key != "in_process"
    ]


def _served_table(results: dict, examples: int) -> list[str]:
    percentiles = ("p50", "p95", "p99")
    return _table(
        ["signature", "batching", "clients", "requests/s", "of best in-process"]
        + [f"{p} ms" for p in percentiles]
        + ["errors", "p99 ms of an error"],
        [
            [
                f"`{signature}`",
                *key,
                f"{measured['rate']:.0f}",
                f"{examples * measured['rate'] / _best(results[signature])[1]:.0%}",
                *(f"{measured[p]:.1f}" for p in percentiles),
                measured["errors"],
                f"{measured['errors_p99']:.1f}" if measured["errors"] else "-",
            ]
            for signature, key, measured in _served(results)
        ],
    )


def _bare_table(results: dict) -> list[str]:
    return _table(
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


def _best(row: dict) -> tuple[int, float]:
    """(batch size, examples a second) of the best in-process rate."""
    return max(row["in_process"]["rates"].items(), key=lambda pair: pair[1])


def _targets(row: dict, examples: int) -> list[str]:
    """The cells of a signature in the table of targets; `-` for what was not measured."""
    served_rate = row.get(("yes", 32)) or row.get(("target", 32))
    cells = ["-", "-"]
    if served_rate:
        ratio = examples * served_rate["rate"] / _best(row)[1]
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
    def line(cells: list) -> str:
        return "| " + " | ".join(str(cell) for cell in cells) + " |"

    return [line(header), line(["---"] + ["--:"] * (len(header) - 1)), *map(line, rows)]


def describe(server: str, version: str, seconds: float, examples: int) -> str:
    """The first paragraph: what was measured, when, on what.

    Args:
      server: what answered, in words.
      version: of the model.
      seconds: of each measurement.
      examples: of each request.
    """
    return (
        f"Measured {datetime.date.today()} on {os.cpu_count()} cores ({_processor()}), TensorFlow "
        f"{importlib.metadata.version('tensorflow')}, Python {platform.python_version()}: "
        f"{server}, version {version}, {seconds:g} s a cell. Examples in a request: {examples}. "
        "On loopback; clients and server share the cores."
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()
