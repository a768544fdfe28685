"""Measures a served model beside the same model in-process, and prints a Markdown table.

    python scripts/load_test.py --model_base_path=export --out=load_test.md

For each signature, in one run and alternately, so that a busy moment of the machine hits all alike:

  in-process   a bare TensorFlow session, as the servers use it: the median latency of one example,
               and examples a second at the best of several batch sizes
  served       requests of one example over gRPC on loopback, from 1, 8 and 32 clients at a time,
               without and with batching: requests a second, 50th, 95th, 99th percentile

With many clients and large requests the queues of the batching server are full, and it refuses:

    python scripts/load_test.py --model_base_path=export --examples=64 --clients=32,64,128,256

The servers are `python -m serving.server`, started here; --target measures a running server (the
stock one, say) instead. Clients are threads of a process of their own that send bytes prepared
before, so that they take little of the processor from the server.

Takes about (client counts x 2 + 1.5) x --seconds for each signature.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import pathlib
import sys
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from hali_tf.errors import UserError
from scripts.load_testing.bare import in_process
from scripts.load_testing.clients import served
from scripts.load_testing.report import describe, report
from scripts.load_testing.requests import prepared_requests
from scripts.load_testing.servers import ROOT, embedded_server
from serving.client import HaliClient, HaliClientError

BATCHING = ROOT / "serving/deploy/base/config/server/batching.pbtxt"

Progress = Callable[[str], None]


def measure(arguments: argparse.Namespace, version_dir: str, progress: Progress) -> dict:
    """All measurements: {signature: {"in_process": ..., (batching, clients): ...}}."""
    results = {}
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        targets = _targets(arguments, version_dir, stack, progress)
        definitions = signatures(next(iter(targets.values())), arguments.model_name)
        bare = stack.enter_context(concurrent.futures.ProcessPoolExecutor(1, spawn))
        callers = stack.enter_context(concurrent.futures.ProcessPoolExecutor(1, spawn))
        for signature in chosen(arguments.signatures, definitions):
            progress(f"{signature}: in-process")
            rates = bare.submit(in_process, version_dir, signature, arguments.seconds).result()
            row: dict = {"in_process": rates}
            results[signature] = row
            requests = prepared_requests(
                arguments.model_name,
                signature,
                definitions[signature],
                max(arguments.clients),
                arguments.examples,
            )
            for batching, clients in itertools.product(targets, arguments.clients):
                row[batching, clients] = measured = callers.submit(
                    served, targets[batching], requests, clients, arguments.seconds
                ).result()
                progress(
                    f"{signature}: {clients} clients, batching {batching}: {measured['rate']:.0f}/s"
                )
    return results


def _targets(
    arguments: argparse.Namespace,
    version_dir: str,
    stack: contextlib.ExitStack,
    progress: Progress,
) -> dict[str, str]:
    """host:port of each server, by the word in the table's column `batching`."""
    if arguments.target:
        return {"target": arguments.target}
    progress("starting the servers")
    base, model = str(pathlib.Path(version_dir).parent), arguments.model_name
    batching = [
        "--enable_batching=true",
        f"--batching_parameters_file={arguments.batching_parameters_file}",
    ]
    return {
        "no": stack.enter_context(embedded_server(base, model, [])).target,
        "yes": stack.enter_context(embedded_server(base, model, batching)).target,
    }


def signatures(target: str, model: str) -> dict:
    """The signatures of a served model; raises UserError if it does not answer."""
    try:
        with HaliClient(target, model) as client:
            return client.signatures()
    except HaliClientError as error:
        raise UserError(str(error)) from None


def chosen(wanted: list[str], definitions: dict) -> list[str]:
    """The signatures that are wanted, or all of `one_input`; raises UserError for others."""
    if not wanted:
        return one_input(definitions)
    unknown = [name for name in wanted if name not in definitions]
    if unknown:
        raise UserError(
            f"--signatures={','.join(wanted)}: the model has no {unknown[0]}; it "
            f"has {', '.join(sorted(definitions))}"
        )
    return wanted


def one_input(definitions: dict) -> list[str]:
    """The signatures that take one tensor, each once: serving_default is encode."""
    return [
        name
        for name in sorted(definitions)
        if len(definitions[name].inputs) == 1 and name != "serving_default"
    ]


def newest_version(base_path: str) -> str:
    """The folder of the highest version.

    Raises:
      UserError: there is none.
    """
    folder = pathlib.Path(base_path)
    versions = [
        path
        for path in folder.glob("*")
        if path.name.isdigit() and (path / "saved_model.pb").is_file()
    ]
    if not versions:
        raise UserError(
            f"--model_base_path={base_path}: no version there (a folder with a number for a name "
            "and saved_model.pb in it); write one with python -m hali_tf.export"
        )
    return str(max(versions, key=lambda path: int(path.name)).resolve())


def _counts(text: str) -> list[int]:
    counts = [int(count) for count in text.split(",")]
    if not all(1 <= count <= 256 for count in counts):
        raise ValueError(text)
    return counts


def _examples(text: str) -> int:
    if not 1 <= int(text) <= 64:
        raise ValueError(text)
    return int(text)


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
        "--examples",
        type=_examples,
        default=1,
        help="in each request, 1 to 64 (default %(default)s)",
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
    start = time.monotonic()

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - start:5.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        if arguments.out and not os.path.isdir(os.path.dirname(arguments.out) or "."):
            raise UserError(f"--out={arguments.out}: there is no such folder")
        version_dir = newest_version(arguments.model_base_path)
        results = measure(arguments, version_dir, progress)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    server = "the server at --target"
    if not arguments.target:
        parameters = os.path.relpath(arguments.batching_parameters_file, ROOT)
        server = f"`serving.server`, batching by `{parameters}`"
    description = describe(
        server, os.path.basename(version_dir), arguments.seconds, arguments.examples
    )
    text = report(results, description, arguments.examples)
    print(text)
    if arguments.out:
        beside = f"{arguments.out}.part"
        pathlib.Path(beside).write_text(text, encoding="utf-8")
        os.replace(beside, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
