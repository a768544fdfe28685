"""Measures which operations take the time of a train step; prints a Markdown table.

  python scripts/profile_step.py
  python scripts/profile_step.py --architecture=hali64_fast --width=1 --batch_size=32

TensorFlow's profiler records --steps steps, on one core and one thread. Milliseconds are those of a
step in the operations of one type, the mean over these steps, by oneDNN or not, with a bias or
without; types below --least of the step are added up. What lies between the operations is the rest
of the step.
"""

from __future__ import annotations

import collections
import glob
import os
import re
import sys
import tempfile
import time

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command
from hali_tf import config as configuration
from scripts.benchmarking import jobs

_OPERATION = re.compile(r"[^:]+:(?:_MklNative|_Mkl|_)?(?:Fused(?=Conv2D))?(\w+?)(?:WithBias)?")
_CONTAINERS = {"PartitionedCall", "StatefulPartitionedCall", "If", "While"}  # of other operations


def main() -> None:
    """Profiles a step in each precision; prints a table."""
    options = flags.FLAGS
    _check(options)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    command.import_tensorflow()
    found = {name: _profile(options, name) for name in options.precision}
    named = {k for step, of in found.values() for k in of if of[k] >= options.least * step}
    kinds = sorted(named, key=lambda k: -max(of[k] for _, of in found.values()))
    print(f"| operation | {' | '.join(f'{name}, ms' for name in found)} |")
    print(f"|---|{'---|' * len(found)}")
    columns = [_column(step, of, kinds) for step, of in found.values()]
    for head, *cells in zip(
        [*(f"`{kind}`" for kind in kinds), "other operations", "between operations", "the step"],
        *columns,
    ):
        print(f"| {head} | {' | '.join(cells)} |")


def _check(options):
    from hali_tf.architectures import ARCHITECTURES

    configuration.check("architecture", options.architecture, {"one_of": ARCHITECTURES})
    for name in ("batch_size", "steps"):
        configuration.check(name, options[name].value, {"above": 0})


def _column(step, of, kinds):
    """Milliseconds and shares of a step: of the `kinds`, of the others, of what is between them."""
    own = [of[kind] for kind in kinds]
    total = sum(of.values())
    seconds = [*own, total - sum(own), step - total, step]
    return [f"{part * 1e3:.1f} ({part / step:.0%})" for part in seconds]


def _profile(options, precision):
    """Seconds of a step, and those in its operations by type."""
    import tensorflow as tf

    job = {
        **jobs.PLAIN,
        "architecture": options.architecture,
        "width": options.width,
        "batch_size": options.batch_size,
        "precision": precision,
    }
    _, _, step = jobs.make_step(job)
    for _ in range(3):
        step()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        start = time.perf_counter()
        for _ in range(options.steps):
            step()
        seconds = (time.perf_counter() - start) / options.steps
        tf.profiler.experimental.stop()
        kinds = _by_type(folder)
    return seconds, collections.Counter({k: s / options.steps for k, s in kinds.items()})


def _by_type(folder):
    """Seconds by type of operation in a recording."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
    space, kinds = xplane_pb2.XSpace(), collections.Counter()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                found = _OPERATION.fullmatch(plane.event_metadata[event.metadata_id].name)
                if found and found[1] not in _CONTAINERS:
                    kinds[found[1]] += event.duration_ps / 1e12
    return kinds


if __name__ == "__main__":
    configuration.define(
        "hali_tf.profile_step",
        architecture=("hali32", "Of hali_tf.architectures."),
        width=(0.3, "Multiplies the feature maps."),
        batch_size=(64, "Images of a step."),
        precision=(["float32", "mixed_bfloat16"], "As in training; several."),
        steps=(5, "How many are recorded."),
        least=(0.01, "Share of a step from which a type has its own row."),
    )
    command.run(main, __doc__)
