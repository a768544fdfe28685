"""Measures the train step and the input pipeline on this machine; prints a Markdown table.

  python scripts/benchmark.py
  python scripts/benchmark.py --architecture=hali16 --width=1 --steps=100
  python scripts/benchmark.py --replicas=1,2,4 --noxla
  python scripts/benchmark.py --data=folder --data_dir=DIR --image_size=64 --architecture=hali64

Every variant runs in a process of its own (peak memory is that process'), all of them --rounds
times in turn, so that a busy minute of the machine does not fall on one variant alone; the best
median of a round counts. "CPU ms" is the processors' time for the cheapest step: what to compare
on a machine that has other work as well. FLOPs are those of convolutions and matrix products,
forward and backward, 2 a multiply-add, summed over the graph of losses and gradients of one pass;
a two-pass step is rated by the same number, since it computes the same update. The peak is the
best of tf.matmul over square sizes 1024 to 3072, measured after the variants of each round. Below
the table stands the processor time of a step's convolutions, each run by itself, best of ten, with
inputs from the caches and from memory: a bound on what the step can reach with these kernels. The
calls from Python are in it, which for small tables are most of it.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import Any

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command, files
from hali_tf import config as configuration
from hali_tf.errors import UsageError
from scripts.benchmarking import children, jobs

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def main() -> None:
    """Reads the flags; measures each variant in a process of its own, or, in one, its job."""
    options = flags.FLAGS
    if options.child:
        job = json.loads(options.child)
        measure = {"step": jobs.time_step, "peak": jobs.peak, "pipeline": jobs.pipeline}
        print(json.dumps(measure[job["job"]](job)))
        return
    _check(options)
    variants = list(_variants(options))
    pipeline = {
        "job": "pipeline",
        "data": options.data,
        "data_dir": options.data_dir and files.real_path(options.data_dir),
        "image_size": options.image_size,
        "batch_size": options.batch_size,
    }
    # The pipeline first: of data that cannot be read it says so before anything is measured.
    queue: list[tuple[int | str, dict[str, Any]]] = [("pipeline", pipeline)]
    for number in range(options.rounds):
        queue += [
            (index, {**job, "graph": number == 0 and _has_the_graph(job, variants[0])})
            for index, job in enumerate(variants)
        ]
        queue += [("peak", {"job": "peak"})]
    results: dict[int | str, list[Any]] = {}
    start = time.time()
    for done, (key, job) in enumerate(queue):
        left = f", {(time.time() - start) / done * (len(queue) - done):.0f} s left" if done else ""
        print(f"{done + 1}/{len(queue)} {_name(job)}{left}", file=sys.stderr)
        results.setdefault(key, []).append(
            children.result_of([sys.executable, __file__, "--child="], job, _name(job))
        )
    _report(options, variants, results)


def _check(options):
    from hali_tf.architectures import ARCHITECTURES

    configuration.check("architecture", options.architecture, {"one_of": ARCHITECTURES})
    for name in ("batch_size", "accumulate", "steps", "rounds", "width"):
        configuration.check(name, options[name].value, {"above": 0})
    for replicas in options.replicas:
        if not replicas.isdecimal() or int(replicas) == 0:
            raise UsageError(
                f"--replicas={','.join(options.replicas)}: expected numbers from 1 on, such as 1,2"
            )
        if options.batch_size % (int(replicas) * options.accumulate):
            raise UsageError(
                f"--batch_size={options.batch_size} with --replicas={replicas} and "
                f"--accumulate={options.accumulate}: expected a multiple of their product"
            )


def _has_the_graph(job, first):
    """Whether a variant's graph is looked at: once for each precision, in one pass without XLA."""
    return job["one_pass"] and not job["xla"] and job["replicas"] == first["replicas"]


def _variants(options):
    for replicas, precision, xla, one_pass in itertools.product(
        map(int, options.replicas),
        _PRECISIONS[: 3 if options.float16 else 2],
        (False, True)[: 2 if options.xla else 1],
        (True, False),
    ):
        is_float16 = precision == "mixed_float16"
        if is_float16 and one_pass:
            continue
        yield {
            "job": "step",
            "architecture": options.architecture,
            "width": options.width,
            "batch_size": options.batch_size,
            "accumulate": options.accumulate,
            "remat": options.remat,
            "replicas": replicas,
            "precision": precision,
            "xla": xla,
            "one_pass": one_pass,
            "steps": max(3, options.steps // 4) if xla or is_float16 else options.steps,
        }


def _name(job):
    if job["job"] != "step":
        return {"peak": "matrix products", "pipeline": "input pipeline"}[job["job"]]
    return (
        f"{job['precision']}, {'XLA' if job['xla'] else 'no XLA'}, "
        f"{'one pass' if job['one_pass'] else 'two passes'}"
        f"{', ' + str(job['replicas']) + ' replicas' if job['replicas'] > 1 else ''}"
    )


def _report(options, variants, results):
    """Prints the table, the peak and the pipeline's rate."""
    flops = results[0][0]["flops"]
    peak = {dtype: max(round_[dtype] for round_ in results["peak"]) for dtype in results["peak"][0]}
    generator, discriminator = results[0][0]["parameters"]
    print(
        f"{options.architecture}, width {options.width:g}, batch {options.batch_size}: "
        f"{generator:,} parameters of encoder and decoder, {discriminator:,} of the discriminator; "
        f"{flops / 1e9:.2f} GFLOP a step (convolutions and matrix products)"
    )
    print(
        f"matrix-product peak: float32 {peak['float32'] / 1e9:.0f}, "
        f"bfloat16 {peak['bfloat16'] / 1e9:.0f} GFLOP/s; {os.cpu_count()} cores\n"
    )
    print(
        "| variant | images/s | ms a step | CPU ms | GFLOP/s | of its peak | peak memory | "
        "first step |"
    )
    print("|---|---|---|---|---|---|---|---|")
    fastest = 0.0
    for index, job in enumerate(variants):
        rounds = results[index]
        seconds = min(r["seconds"] for r in rounds)
        rate, images = flops / seconds, options.batch_size / seconds
        fastest = max(fastest, images)
        # float16 has no peak of its own here: the processor computes it as float32.
        of = peak["bfloat16" if job["precision"] == "mixed_bfloat16" else "float32"]
        print(
            f"| {_name(job)} | {images:.0f} | {seconds * 1e3:.0f} | "
            f"{min(r['cpu'] for r in rounds) * 1e3:.0f} | {rate / 1e9:.0f} | "
            f"{rate / of:.0%} | {max(r['mebibytes'] for r in rounds):.0f} MiB | "
            f"{min(r['first'] for r in rounds):.1f} s |"
        )
    print()
    _report_convolutions(variants, results)
    pipeline = results["pipeline"][0]
    print(
        f"input pipeline, {options.data}: {pipeline:.0f} images/s, "
        f"{pipeline / fastest:.1f} times the fastest variant's"
    )


def _report_convolutions(variants, results):
    """Prints the time of the convolutions of a step, each run by itself."""
    for index, job in enumerate(variants):
        alone = results[index][0]
        if "convolutions" in alone:
            dtype = job["precision"].removeprefix("mixed_")
            print(
                f"convolutions of a step alone, {dtype}: {alone['convolutions'] * 1e3:.0f} ms of "
                f"processor, {alone['convolutions_cold'] * 1e3:.0f} with inputs from memory"
            )


if __name__ == "__main__":
    configuration.define(
        "hali_tf.benchmark",
        architecture=("hali32", "Of hali_tf.architectures."),
        width=(
            0.3,
            "Multiplies the feature maps; 0.3 gives hali32 1.2 M parameters of encoder and "
            "decoder.",
        ),
        batch_size=(64, "Images a step."),
        accumulate=(1, "As in training."),
        remat=(False, "As in training; GFLOP then count what is repeated."),
        replicas=(
            ["1"],
            "Over how many GPUs, or parts of the CPU, the batch is split; 1,2,4 measures each.",
        ),
        steps=(20, "Timed steps a variant and round; XLA and float16 take a quarter."),
        rounds=(2, "How often each variant is measured."),
        float16=(False, "Also mixed_float16, which is slow on a CPU."),
        xla=(True, "Also with XLA (long compilation on a CPU)."),
        data=("digits", "Data set for the pipeline's rate, as in training."),
        data_dir=("", "Its folder."),
        image_size=(0, "As in training; 0: the set's own."),
        child=("", "For the script itself: a job as JSON."),
    )
    command.run(main, __doc__)
