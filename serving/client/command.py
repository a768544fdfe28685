"""The command: pictures in, pictures or numbers out."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any

import numpy as np

from serving.client import files, pictures
from serving.client.api import (
    DEFAULT_MAX_BATCH,
    DEFAULT_MODEL,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT,
    MAX_TIMEOUT,
    HaliClient,
)
from serving.client.channel import MAX_RETRIES
from serving.client.errors import HaliClientError

_EPILOG = """examples:
  python -m serving.client reconstruct --image=photos/ --out=grid.png
      one row per picture: the original, then its reconstruction from each level
  python -m serving.client encode --image=face.jpg --out=latents.json
  python -m serving.client decode --latents=latents.json --out=face_again.png
  python -m serving.client classify --image=face.jpg
  python -m serving.client sample --count=64 --out=samples.png --label=canary

Pictures are turned upright (EXIF), laid on white, cut to the model's aspect ratio about their
centre and resized, as those of training were.
Exit status: 0 done, 1 a file or the server failed, 2 wrong usage, 130 stopped by SIGINT."""


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as the package's __init__.py left it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = _parser().parse_args(argv)
    try:
        problem = _usage_problem(arguments)
        if problem:
            print(f"error: {problem}", file=sys.stderr)
            return 2
        with _client_of(arguments) as client:
            _COMMANDS[arguments.command](client, arguments)
    except (HaliClientError, pictures.PictureError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: stopped by SIGINT", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.client",
        description="Calls a served HALI model: pictures in, pictures or numbers out.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    server = _server_flags()

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[server], help=summary, description=summary)

    numbers = "FILE.json or FILE.npz (default: JSON on standard output)"
    grid = "FILE.png for a grid of pictures, FILE.npy for uint8 [B, H, W, C]"
    encode = command("encode", "Infer the latents of pictures: mean and stddev at each level.")
    _add_image(encode)
    encode.add_argument("--out", metavar="FILE", help=numbers)

    decode = command("decode", "Decode latents into pictures.")
    decode.add_argument(
        "--latents",
        required=True,
        metavar="FILE",
        help="what encode wrote (.json, .npz), a JSON array, or .npy [B, ...]",
    )
    decode.add_argument("--level", type=int, help="level of the latents (default: the top one)")
    decode.add_argument("--out", metavar="FILE", required=True, help=grid)

    reconstruct = command(
        "reconstruct", "Encode pictures up to each level and decode them from there."
    )
    _add_image(reconstruct)
    layout = "FILE.png: one row per picture, the original first; FILE.npz: images, reconstruction_l"
    reconstruct.add_argument("--out", metavar="FILE", required=True, help=layout)

    classify = command("classify", "Score pictures against the training data's labels.")
    _add_image(classify)
    classify.add_argument("--out", metavar="FILE", help=numbers)

    sample = command("sample", "Draw pictures from the prior.")
    _add_seeds(sample)
    sample.add_argument("--out", metavar="FILE", required=True, help=grid)
    return parser


def _server_flags() -> argparse.ArgumentParser:
    """The flags of all commands."""
    server = argparse.ArgumentParser(add_help=False)
    group = server.add_argument_group("server")
    add = group.add_argument
    add(
        "--target",
        default="localhost:8500",
        help="host:port of the gRPC port (default %(default)s)",
    )
    add("--model", default=DEFAULT_MODEL, help="name of the model (default %(default)s)")
    which = group.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="version number (default: the newest served)")
    which.add_argument("--label", help="version label, such as stable or canary")
    add(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="for a whole call with its retries (default %(default)s)",
    )
    add(
        "--retries",
        type=int,
        default=DEFAULT_RETRIES,
        help=f"when the server is unavailable, 0 to {MAX_RETRIES} (default %(default)s)",
    )
    add(
        "--max_batch",
        type=int,
        default=DEFAULT_MAX_BATCH,
        help="most pictures in one message (default %(default)s)",
    )
    add(
        "--metadata",
        type=_key_and_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="header of each message, such as authorization=...; may be given several times",
    )
    add("--tls", action="store_true", help="TLS with the system's root certificates")
    add("--ca", metavar="FILE", help="TLS with the root certificates of this PEM file")
    add("--cert", metavar="FILE", help="this client's certificate (PEM)")
    add("--key", metavar="FILE", help="key to --cert (PEM)")
    return server


def _add_image(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--image",
        required=True,
        metavar="FILE|FOLDER",
        help="a picture, or a folder of pictures (taken in order of name)",
    )
    command.add_argument(
        "--celeba",
        action="store_true",
        help="for a model of CelebA: crop aligned pictures (178x218) to the face, as in training",
    )


def _add_seeds(command: argparse.ArgumentParser) -> None:
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--seeds",
        type=_seeds,
        metavar="0,1,2",
        help="one picture per seed; the same seed gives the same picture anywhere",
    )
    which.add_argument("--count", type=int, help="seeds 0 to COUNT - 1")


def _key_and_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{key!r}: give a key and its value, KEY=VALUE")
    return key, value


def _seeds(text: str) -> list[int]:
    try:
        return np.array([int(seed) for seed in text.split(",")], np.int64).tolist()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give 64-bit whole numbers with commas between, such as 0,1,2"
        ) from None


_MAX_COUNT = 1_000_000  # they are all in memory before they are written
_SUFFIXES = {
    "encode": (".json", ".npz"),
    "classify": (".json", ".npz"),
    "reconstruct": (".png", ".npz"),
    "decode": (".png", ".npy"),
    "sample": (".png", ".npy"),
}


def _usage_problem(arguments: argparse.Namespace) -> str | None:
    """What is wrong with the flags, before anything is read or sent."""
    suffixes = _SUFFIXES[arguments.command]
    if arguments.out is not None and os.path.splitext(arguments.out)[1].lower() not in suffixes:
        return f"--out={arguments.out}: {arguments.command} writes {' or '.join(suffixes)}"
    folder = os.path.dirname(arguments.out or "") or "."
    if not os.path.isdir(folder):
        return f"--out={arguments.out}: there is no folder {folder}; make it first"
    if getattr(arguments, "count", None) is not None and not 1 <= arguments.count <= _MAX_COUNT:
        return f"--count={arguments.count}: must be from 1 to {_MAX_COUNT}"
    if not 0 < arguments.timeout <= MAX_TIMEOUT:
        return (
            f"--timeout={arguments.timeout}: must be above 0 and at most {MAX_TIMEOUT:,.0f} seconds"
        )
    if not 0 <= arguments.retries <= MAX_RETRIES:
        return f"--retries={arguments.retries}: must be 0 to {MAX_RETRIES}, which is gRPC's limit"
    if arguments.max_batch < 1:
        return f"--max_batch={arguments.max_batch}: must be at least 1"
    if bool(arguments.cert) != bool(arguments.key):
        return "--cert and --key belong together: give both or neither"
    return None


def _client_of(arguments: argparse.Namespace) -> HaliClient:
    return HaliClient(
        arguments.target,
        arguments.model,
        version=arguments.version,
        label=arguments.label,
        timeout=arguments.timeout,
        retries=arguments.retries,
        metadata=dict(arguments.metadata),
        tls=arguments.tls,
        ca_file=arguments.ca,
        cert_file=arguments.cert,
        key_file=arguments.key,
        max_batch=arguments.max_batch,
    )


def _load(client: HaliClient, arguments: argparse.Namespace) -> tuple[list[str], np.ndarray]:
    return pictures.load(arguments.image, client.image_shape, arguments.celeba)


def _run_encode(client: HaliClient, arguments: argparse.Namespace) -> None:
    names, images = _load(client, arguments)
    arrays = {}
    for level, (mean, stddev) in enumerate(client.encode(images), start=1):
        arrays[f"z_{level}"], arrays[f"z_{level}_stddev"] = mean, stddev
    files.write_numbers(arguments.out, names, arrays)


def _run_classify(client: HaliClient, arguments: argparse.Namespace) -> None:
    names, images = _load(client, arguments)
    classes, scores = client.classify(images)
    files.write_numbers(arguments.out, names, {"classes": classes, "scores": scores})


def _run_reconstruct(client: HaliClient, arguments: argparse.Namespace) -> None:
    _, images = _load(client, arguments)
    levels = client.reconstruct(images)
    if arguments.out.lower().endswith(".npz"):
        named: dict[str, Any] = {
            f"reconstruction_{l}": array for l, array in enumerate(levels, start=1)
        }
        files.write_npz(arguments.out, {"images": images, **named})
    else:
        columns = [images, *levels]
        rows = np.stack(columns, axis=1).reshape(-1, *images.shape[1:])
        pictures.write_grid(arguments.out, rows, columns=len(columns))


def _run_decode(client: HaliClient, arguments: argparse.Namespace) -> None:
    level = arguments.level or client.num_levels
    images = client.decode(files.read_latents(arguments.latents, level), arguments.level)
    files.write_images(arguments.out, images)


def _run_sample(client: HaliClient, arguments: argparse.Namespace) -> None:
    seeds = arguments.seeds if arguments.seeds else range(arguments.count)
    files.write_images(arguments.out, client.sample(np.array(seeds, np.int64)))


_COMMANDS = {
    "encode": _run_encode,
    "decode": _run_decode,
    "reconstruct": _run_reconstruct,
    "classify": _run_classify,
    "sample": _run_sample,
}
