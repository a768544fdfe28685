"""Measures the train step against the same step in PyTorch; prints a Markdown table.

  python scripts/compare_pytorch.py
  python scripts/compare_pytorch.py --torch_python=PYTHON --architecture=hali16 --width=1

PyTorch's step is an equivalent of our own from the same layer tables (scripts/benchmarking/
torch_step.py): eager, channels last, one forward pass and a backward pass for each player. Both are
measured alternately, --rounds times, each time in a new process; on a machine with other work start
this with `taskset -c 0`, which gives both one thread. A step's seconds, of the clock and of the
processor, are medians of a round, and those and the ratios medians of the rounds. Beside them
stands the processor time of the cheapest step against that of its convolutions, each run by itself,
best of ten: what no code around these kernels can undercut. A step finds some of their inputs in
the caches and most in memory, so both are measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.architectures import ARCHITECTURES
from hali_tf.errors import UsageError
from scripts.benchmarking import children, jobs


def main() -> None:
    """Reads the flags; measures and prints."""
    options = flags.FLAGS
    _check(options)
    print(
        "| precision | hali_tf, ms (CPU) | PyTorch, ms (CPU) | PyTorch / hali_tf (CPU) | "
        "convolutions alone, CPU ms: inputs from caches, from memory | step / convolutions |\n"
        "|---|---|---|---|---|---|"
    )
    for precision in ("float32", "mixed_bfloat16"):
        rounds = [_round(options, precision) for _ in range(options.rounds)]
        _print_row(precision, rounds)
    torch = rounds[0][1]
    print(
        f"\n{options.architecture}, width {options.width:g}, batch {options.batch_size}; torch "
        f"{torch['torch']}, {torch['threads']} of its threads; load average "
        f"{os.getloadavg()[0]:.1f} at the end"
    )


def _check(options):
    configuration.check("architecture", options.architecture, {"one_of": ARCHITECTURES})
    for name in ("width", "batch_size", "steps", "rounds"):
        configuration.check(name, options[name].value, {"above": 0})
    python = options.torch_python
    try:
        subprocess.run([python, "-c", "import torch"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(
            f"--torch_python={python}: has no torch; install it there by {python} -m pip install "
            "torch numpy --index-url https://download.pytorch.org/whl/cpu, or name another Python"
        ) from error


def _round(options, precision):
    """Results of our step and of PyTorch's."""
    job = {
        **jobs.PLAIN,
        "job": "step",
        "precision": precision,
        "graph": True,
        **{name: options[name].value for name in ("architecture", "width", "batch_size", "steps")},
    }
    torch = [options.torch_python, "-m", "scripts.benchmarking.torch_step", ""]
    ours = children.result_of([sys.executable, "scripts/benchmark.py", "--child="], job, "our step")
    return ours, children.result_of(torch, job, "PyTorch's step")


def _print_row(precision, rounds):
    ours, theirs = (
        {
            name: statistics.median(r[side][name] for r in rounds)
            for name in ("seconds", "cpu_median")
        }
        for side in (0, 1)
    )
    wall, cpu = (
        statistics.median(torch[name] / our[name] for our, torch in rounds)
        for name in ("seconds", "cpu_median")
    )
    alone = [min(our[of] for our, _ in rounds) for of in ("convolutions", "convolutions_cold")]
    cheapest = min(our["cpu"] for our, _ in rounds)
    cells = [f"{s['seconds'] * 1e3:.0f} ({s['cpu_median'] * 1e3:.0f})" for s in (ours, theirs)]
    print(
        f"| {precision} | {' | '.join(cells)} | {wall:.2f} ({cpu:.2f}) | "
        f"{', '.join(f'{time * 1e3:.0f}' for time in alone)} | "
        f"{', '.join(f'{cheapest / time:.2f}' for time in alone)} |"
    )


if __name__ == "__main__":
    configuration.define(
        "hali_tf.compare_pytorch",
        torch_python=(sys.executable, "A Python that has torch and NumPy."),
        architecture=("hali32", "Of hali_tf.architectures."),
        width=(0.3, "Multiplies the feature maps."),
        batch_size=(64, "Images a step."),
        steps=(12, "Timed steps of a round."),
        rounds=(3, "How often each is measured."),
    )
    command.run(main, __doc__)
