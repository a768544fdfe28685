"""Measures the peak memory of a train step by batch size; prints a Markdown table.

  python scripts/benchmark_memory.py --architecture=hali32 --batch_sizes=64,256
  python scripts/benchmark_memory.py --architecture=hali64 --precision=mixed_bfloat16

MiB are the largest resident set of a process that makes one step of random images, with the
libraries, the model and its optimisers in it. Each is measured once.
"""

from __future__ import annotations

import json
import os
import sys
import time

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.errors import UsageError
from scripts.benchmarking import children, jobs


def main() -> None:
    """Measures each batch size in each precision and way; prints a table."""
    options = flags.FLAGS
    if options.child:
        print(json.dumps(_peak(json.loads(options.child))))
        return
    configuration.check("accumulate", options.accumulate, {"at_least": 1})
    for size in options.batch_sizes:
        if not size.isdecimal() or int(size) % options.accumulate or int(size) == 0:
            raise UsageError(
                f"--batch_sizes={','.join(options.batch_sizes)}: expected multiples of "
                f"--accumulate={options.accumulate}, such as 8,32,64"
            )
    ways = {
        "plain": (1, False),
        "`--remat`": (1, True),
        f"`--accumulate={options.accumulate}`": (options.accumulate, False),
        "both": (options.accumulate, True),
    }
    rows = [(int(size), name) for size in options.batch_sizes for name in options.precision]
    left = len(rows) * len(ways)
    print(f"| {options.architecture}: batch, precision | {' | '.join(ways)} |")
    print(f"|---|{'---|' * len(ways)}")
    start = time.time()
    for size, precision in rows:
        peaks = []
        for way, (accumulate, remat) in ways.items():
            job = {
                **jobs.PLAIN,
                "architecture": options.architecture,
                "width": options.width,
                "batch_size": size,
                "precision": precision,
                "accumulate": accumulate,
                "remat": remat,
            }
            name = f"batch {size}, {precision}, {way.strip('`')}"
            peaks.append(children.result_of([sys.executable, __file__, "--child="], job, name))
            left -= 1
            print(f"{name} after {time.time() - start:.0f} s; {left} left", file=sys.stderr)
        cells = " | ".join(f"{peak:,.0f}" for peak in peaks)
        print(f"| {size}, {precision.removeprefix('mixed_')} | {cells} |", flush=True)


def _peak(job):
    """The largest resident set in MiB after one step."""
    _, _, step = jobs.make_step(job)
    step()
    return jobs.peak_memory()


if __name__ == "__main__":
    configuration.define(
        "hali_tf.benchmark_memory",
        architecture=("hali64", "Of hali_tf.architectures."),
        width=(1.0, "Multiplies the feature maps."),
        batch_sizes=(["8", "32", "64"], "Images of a step; several."),
        precision=(["float32", "mixed_bfloat16"], "As in training; several."),
        accumulate=(4, "As in training, for the columns that have it."),
        child=("", "For the script itself: a job as JSON."),
    )
    command.run(main, __doc__)
