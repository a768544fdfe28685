"""Calculates how a training step would scale over accelerators; prints Markdown tables.

  python scripts/scaling.py
  python scripts/scaling.py --peak=312e12 --share=0.3 --images=128

Nothing is measured. Parameters and FLOPs are those of the layer tables at full width. An
accelerator is assumed to reach --share of --peak, and links the speeds below. docs/scaling.md says
what follows.
"""

from __future__ import annotations

import os
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command
from hali_tf import config as configuration
from scripts.benchmarking import jobs

# Bytes a second between neighbours of the ring, and seconds a message takes at least.
LINKS = {
    "NVLink, 400 GB/s": (400e9, 3e-6),
    "InfiniBand, 400 Gbit/s": (50e9, 5e-6),
    "Ethernet, 100 Gbit/s": (12.5e9, 20e-6),
    "Ethernet, 25 Gbit/s": (3.125e9, 20e-6),
}
COUNTS = (8, 64, 512)


def ring_seconds(size: float, count: int, bandwidth: float, latency: float) -> float:
    """Seconds of a ring all-reduce of `size` bytes over `count` accelerators."""
    return 2 * (count - 1) * (size / (count * bandwidth) + latency)


def reduced_bytes(parameters: int) -> int:
    """Bytes of the float32 gradients that a step adds up."""
    return 4 * parameters


def main() -> None:
    """Prints a table of what a step needs, and one of efficiencies for each way to grow."""
    values = flags.FLAGS
    for flag in ("peak", "share", "images", "batch_size"):
        configuration.check(flag, values[flag].value, {"above": 0})
    rate = values.peak * values.share
    sizes = {name: jobs.size_of_step(name) for name in ("hali64", "hali128")}
    print("| | parameters | MB added up per step | GFLOP per image | ms for 64 images |")
    print("|---|---|---|---|---|")
    for name, (parameters, flops) in sizes.items():
        megabytes = reduced_bytes(parameters) / 1e6
        print(
            f"| `{name}` | {parameters:,} | {megabytes:.0f} | {flops / 1e9:.1f} | "
            f"{64 * flops / rate * 1e3:.2f} |"
        )
    for words, images_of in (
        (f"{values.images} images for each accelerator", lambda count: values.images),
        (f"{values.batch_size} images together", lambda count: values.batch_size / count),
    ):
        columns = [f"`{name}`, {count}" for name in sizes for count in COUNTS]
        print(f"\n| {words} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        for link, (bandwidth, latency) in LINKS.items():
            cells = []
            for parameters, flops in sizes.values():
                for count in COUNTS:
                    compute = images_of(count) * flops / rate
                    waiting = ring_seconds(reduced_bytes(parameters), count, bandwidth, latency)
                    cells.append(f"{compute / (compute + waiting):.0%}")
            print(f"| {link} | {' | '.join(cells)} |")


if __name__ == "__main__":
    configuration.define(
        "hali_tf.scaling",
        peak=(989e12, "FLOP/s of an accelerator; H100, bfloat16, dense."),
        share=(0.3, "Of the peak that a step reaches."),
        images=(64, "For each accelerator, where the batch grows with them."),
        batch_size=(512, "Of all accelerators, where it does not."),
    )
    command.run(main, __doc__)
