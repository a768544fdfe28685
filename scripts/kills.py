"""Kills short trainings and exports at random moments, and checks that nothing is lost by it.

  python scripts/kills.py --kills=20 --seed=0
  unshare -rm python scripts/kills.py --kills=20        # a full disk needs the right to mount

Trains digits once without a stop. Then again, with each start killed (SIGKILL), asked to stop
(SIGTERM) or out of disk (a small tmpfs that is filled, where one can be mounted) at a moment that
is drawn: at the start, during steps, while a checkpoint is written, while the run is evaluated, at
the end. Exports meet the same faults. Each fault comes once at each of these moments before any
comes again. When a run comes to its end, its weights and its log are compared with those of the
first one, to the bit, and its folder is searched for temporary files.
Prints a Markdown table; exit code 1 if anything was lost.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from absl import flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.errors import UserError
from hali_tf.runs import metrics_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
_STEPS = 24
_TRAIN = (
    "hali_tf.train", "--data=digits", "--width=0.01", "--batch_size=4", "--precision=float32",
    "--learning_rate=1e-3", "--log_every=3", "--checkpoint_every=4", f"--steps={_STEPS}",
)  # fmt: skip
_PATIENCE = 3600  # seconds for one start
_DISK = "48m"
# Steps 3, 6, ... are logged and 4, 8, ... evaluated and saved: a line of step 3, 15, ... comes just
# before an evaluation.


def _start(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _finished(*arguments):
    process = _start(*arguments)
    _, errors = process.communicate(timeout=_PATIENCE)
    if process.returncode:
        raise UserError(f"{' '.join(arguments)}: exit code {process.returncode}\n{errors}")


# Each moment: whether it has come, looking at the run folder; and up to how many seconds later the
# fault comes. What was there when the process started does not count.
def _logged(folder):
    return max((line["step"] for line in metrics_file.read(folder / "metrics.jsonl")), default=0)


def _being_written(folder):
    return next(folder.glob("checkpoints/**/ckpt-*.tmp"), None)


def _saved(folder):
    return {path.name for path in folder.glob("checkpoints/ckpt-*.index")}


MOMENTS: dict[str, tuple[Callable, float]] = {
    "at the start": (lambda folder, _: True, 20.0),
    "during steps": (lambda folder, before: _logged(folder) > before, 0.5),
    "writing a checkpoint": (lambda folder, _: _being_written(folder), 0.01),
    "evaluating": (
        lambda folder, before: before < _logged(folder) and _logged(folder) % 4 == 3,
        0.5,
    ),
    "at the end": (lambda folder, _: f"ckpt-{_STEPS}.index" in _saved(folder), 1.0),
}


def _wait(process, folder, moment, draw):
    """Returns when the moment has come, or the process has ended."""
    come, later = MOMENTS[moment]
    before, deadline = _logged(folder), time.monotonic() + _PATIENCE
    while process.poll() is None and not come(folder, before):
        if time.monotonic() > deadline:
            raise UserError(f"{folder}: nothing happens any more")
        time.sleep(0.001)
    time.sleep(draw.random() * later)


def _kill(process, folder, disk):
    del folder, disk
    process.kill()
    return {-signal.SIGKILL}


def _terminate(process, folder, disk):
    del folder, disk
    process.terminate()
    return {143, -signal.SIGTERM}


def _fill(process, folder, disk):
    """Fills the disk until the process has met it."""
    del folder
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        while process.poll() is None:
            try:
                file.write(bytes(4096))
            except OSError:
                time.sleep(0.01)
    return {1}


EXPORTING = "exporting"
FAULTS = {"SIGKILL": _kill, "SIGTERM": _terminate, "full disk": _fill}


def _one_start(run, disk, fault, moment, draw):
    """Starts training, makes the fault; returns whether the run came to its end before it."""
    process = _start(*_TRAIN, f"--run_dir={run}")
    _wait(process, run, moment, draw)
    _check_end(process, FAULTS[fault](process, run, disk), disk, fault, moment)
    return process.returncode == 0


def _check_end(process, codes, disk, fault, moment):
    """Raises UserError where a process ended otherwise than a fault should end it."""
    _, errors = process.communicate(timeout=_PATIENCE)
    (disk / "filler").unlink(missing_ok=True)
    if process.returncode not in codes | {0} or "Traceback" in errors:
        raise UserError(f"{fault} {moment}: exit code {process.returncode}\n{errors}")
    if fault == "full disk" and process.returncode == 1 and "No space left" not in errors:
        raise UserError(f"{fault} {moment}: the message does not say it\n{errors}")


def _check(run, whole):
    """Raises UserError where a run differs from the one that was never stopped."""
    import numpy as np
    import tensorflow as tf

    readers = [
        tf.train.load_checkpoint(str(r / f"checkpoints/ckpt-{_STEPS}")) for r in (run, whole)
    ]
    names = [reader.get_variable_to_shape_map().keys() for reader in readers]
    if names[0] != names[1]:
        raise UserError(f"{run}: other variables than {whole}")
    for name in names[0]:
        one, other = (reader.get_tensor(name) for reader in readers)
        if not np.array_equal(one, other):
            raise UserError(f"{run}: {name} differs from {whole}")
    logs = [metrics_file.read(str(r / "metrics.jsonl")) for r in (run, whole)]
    for line in logs[0] + logs[1]:
        line.pop("images_per_second", None)
    if logs[0] != logs[1]:
        raise UserError(f"{run}: metrics.jsonl differs from that of {whole}")
    if (run / "summary.json").read_text() != (whole / "summary.json").read_text():
        raise UserError(f"{run}: summary.json differs from that of {whole}")
    _check_leftovers(run)


def _check_leftovers(folder):
    left = [p for p in folder.rglob("*") if "tmp" in p.name or "temp" in p.name]
    if left:
        raise UserError(f"{left[0]}: a temporary file was left")


def _train(disk, whole, pairs, draw):
    """Makes each fault at its moment, checks each run that ends; yields (fault, moment)."""
    run = None
    for number, (fault, moment) in enumerate(pairs):
        run = run or disk / f"run{number}"
        while _one_start(run, disk, fault, moment, draw):  # it ended before the moment came
            _check(run, whole)
            shutil.rmtree(run)
        yield fault, moment
    if run:
        _finished(*_TRAIN, f"--run_dir={run}")
        _check(run, whole)
        shutil.rmtree(run)


def _export(folder, disk, whole, faults, draw):
    """Makes each fault while an export runs, at any time; yields (fault, moment)."""
    export = ("hali_tf.export", f"--run_dir={whole}", f"--export_dir={folder}")
    began = time.monotonic()
    _finished(*export)
    seconds = time.monotonic() - began
    for fault in faults:
        while not _one_export(export, folder, disk, fault, draw.random() * seconds):
            pass
        yield fault, EXPORTING
    _finished(*export)
    if {path.name for path in folder.iterdir() if not path.name.isdigit()} - {"lock"}:
        raise UserError(f"{folder}: something else than versions was left")


def _one_export(export, folder, disk, fault, seconds):
    """Starts an export, makes the fault after some seconds; returns whether it came in time."""
    process = _start(*export)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    _check_end(process, FAULTS[fault](process, folder, disk), disk, fault, EXPORTING)
    for version in folder.glob("[0-9]*"):
        if not (version / "assets.extra" / "model_card.json").exists():
            raise UserError(f"{version}: half an export")
    return process.returncode != 0


def _pairs(faults, draw):
    """(fault, moment) without end: all of them in an order that is drawn, again and again."""
    while True:
        pairs = [(fault, moment) for fault in faults for moment in [*MOMENTS, EXPORTING]]
        draw.shuffle(pairs)
        yield from pairs


def _mounted(folder):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


def kills(count: int, seed: int, folder: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Makes `count` faults, each kind at each moment in turn; yields (fault, moment) of each.

    Raises:
      UserError: something was lost.
    """
    draw, disk, whole = random.Random(seed), folder / "disk", folder / "whole"
    mounted = _mounted(disk)
    try:
        faults = list(FAULTS) if mounted else ["SIGKILL", "SIGTERM"]
        pairs = list(itertools.islice(_pairs(faults, draw), count))
        _finished(*_TRAIN, f"--run_dir={whole}")
        _check_leftovers(whole)
        yield from _train(disk, whole, [pair for pair in pairs if pair[1] != EXPORTING], draw)
        exports = [fault for fault, moment in pairs if moment == EXPORTING]
        yield from _export(disk / "export", disk, whole, exports, draw)
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=False)


def main() -> None:
    """Reads the flags, kills, prints the table."""
    configuration.check("kills", flags.FLAGS.kills, {"at_least": 1})
    counts: collections.Counter = collections.Counter()
    folder = tempfile.mkdtemp()  # stays after an error, to be looked at
    for number, event in enumerate(
        kills(flags.FLAGS.kills, flags.FLAGS.seed, pathlib.Path(folder)), start=1
    ):
        counts[event] += 1
        print(f"{number}: {' '.join(event)}", file=sys.stderr, flush=True)
    shutil.rmtree(folder)
    print("| fault | when | how often | lost |\n|---|---|---|---|")
    for (fault, moment), number in sorted(counts.items()):
        print(f"| {fault} | {moment} | {number} | nothing |")


if __name__ == "__main__":
    configuration.define(
        "hali_tf.kills", kills=(20, "How many faults."), seed=(0, "Of what is drawn.")
    )
    command.run(main, __doc__ or "")
