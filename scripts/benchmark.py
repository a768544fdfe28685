"""Measures the train step and the input pipeline on this machine; prints a Markdown table.

  python scripts/benchmark.py
  python scripts/benchmark.py --architecture=hali16 --width=1 --steps=100
  python scripts/benchmark.py --data=folder --data_dir=DIR --architecture=hali64 --width=0.25

Every variant runs in a process of its own (peak memory is that process'), all of them --rounds
times in turn, so that a busy minute of the machine does not fall on one variant alone; the best
median of a round counts. "CPU ms" is the processors' time for the cheapest step: what to compare
on a machine that has other work as well. FLOPs are those of convolutions and matrix products,
forward and backward, 2 a multiply-add, summed over the graph of losses and gradients of one pass;
a two-pass step is rated by the same number, since it computes the same update. The peak is the
best of tf.matmul over square sizes 1024 to 3072, measured after the variants of each round. Below
the table stand the convolutions of a step, each run by itself, best of ten: a bound on what the
step can reach with these kernels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from absl import flags

from hali_tf import command
from hali_tf.errors import UsageError, UserError

_MODULE = "hali_tf.benchmark"
_CONVOLUTIONS = {
    "Conv2D": ("input", "filter"),
    "Conv2DBackpropInput": ("input_sizes", "filter", "out_backprop"),
    "Conv2DBackpropFilter": ("input", "filter_sizes", "out_backprop"),
}
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def _define_flags():
    for define, name, default, help_text in (
        (flags.DEFINE_string, "architecture", "hali32", "Of hali_tf.architectures."),
        (
            flags.DEFINE_float,
            "width",
            0.3,
            "Multiplies the feature maps; 0.3 gives hali32 1.2 M "
            "parameters of encoder and decoder.",
        ),
        (flags.DEFINE_integer, "batch_size", 64, "Images a step."),
        (
            flags.DEFINE_integer,
            "steps",
            20,
            "Timed steps a variant and round; XLA and float16 take a quarter.",
        ),
        (flags.DEFINE_integer, "rounds", 2, "How often each variant is measured."),
        (flags.DEFINE_bool, "float16", False, "Also mixed_float16, which is slow on a CPU."),
        (flags.DEFINE_bool, "xla", True, "Also with XLA (long compilation on a CPU)."),
        (
            flags.DEFINE_string,
            "data",
            "digits",
            "Data set for the pipeline's rate, as in training.",
        ),
        (flags.DEFINE_string, "data_dir", "", "Its folder."),
        (flags.DEFINE_integer, "image_size", 0, "As in training; 0: the set's own."),
        (flags.DEFINE_string, "child", "", "For the script itself: a job as JSON."),
    ):
        define(name, default, help_text, module_name=_MODULE)


def main() -> None:
    """Reads the flags; measures each variant in a process of its own, or, in one, its job."""
    options = flags.FLAGS
    if options.child:
        job = json.loads(options.child)
        print(
            json.dumps({"step": _time_step, "peak": _peak, "pipeline": _pipeline}[job["job"]](job))
        )
        return
    _check(options)
    variants = list(_variants(options))
    jobs: list[tuple[int | str, dict[str, Any]]] = []
    for number in range(options.rounds):
        jobs += [
            (index, {**job, "graph": number == 0 and job["one_pass"] and not job["xla"]})
            for index, job in enumerate(variants)
        ]
        jobs += [("peak", {"job": "peak"})]
    jobs.append(
        (
            "pipeline",
            {
                "job": "pipeline",
                "data": options.data,
                "data_dir": options.data_dir,
                "image_size": options.image_size,
                "batch_size": options.batch_size,
            },
        )
    )
    results: dict[int | str, list[Any]] = {}
    start = time.time()
    for done, (key, job) in enumerate(jobs):
        left = f", {(time.time() - start) / done * (len(jobs) - done):.0f} s left" if done else ""
        print(f"{done + 1}/{len(jobs)} {_name(job)}{left}", file=sys.stderr)
        results.setdefault(key, []).append(_in_child(job))
    _report(options, variants, results)


def _check(options):
    from hali_tf.architectures import ARCHITECTURES

    if options.architecture not in ARCHITECTURES:
        raise UsageError(
            f"--architecture={options.architecture}: expected one of {', '.join(ARCHITECTURES)}"
        )
    for name in ("batch_size", "steps", "rounds", "width"):
        if options[name].value <= 0:
            raise UsageError(f"--{name}={options[name].value}: expected more than 0")


def _variants(options):
    common = {
        "job": "step",
        "architecture": options.architecture,
        "width": options.width,
        "batch_size": options.batch_size,
    }
    for precision in _PRECISIONS[: 3 if options.float16 else 2]:
        for xla in (False, True)[: 2 if options.xla else 1]:
            for one_pass in (True, False)[: 1 if precision == "mixed_float16" else 2]:
                slow = xla or precision == "mixed_float16"
                steps = max(3, options.steps // 4) if slow else options.steps
                yield {
                    **common,
                    "precision": precision,
                    "xla": xla,
                    "one_pass": one_pass and precision != "mixed_float16",
                    "steps": steps,
                }


def _name(job):
    if job["job"] != "step":
        return {"peak": "matrix products", "pipeline": "input pipeline"}[job["job"]]
    return (
        f"{job['precision']}, {'XLA' if job['xla'] else 'no XLA'}, "
        f"{'one pass' if job['one_pass'] else 'two passes'}"
    )


def _in_child(job):
    """Runs a job in a new process and returns its result.

    Raises:
      UserError: the process failed; with its last line.
    """
    ran = subprocess.run(
        [sys.executable, __file__, f"--child={json.dumps(job)}"], capture_output=True, text=True
    )
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"{_name(job)}: exit code {ran.returncode}: {last.removeprefix('hali_tf: ')}"
        )
    return json.loads(ran.stdout.strip().splitlines()[-1])


def _time_step(job):
    """Median seconds a step, first step's seconds, peak memory, and on request `_operations`."""
    import resource
    import statistics

    import numpy as np
    import tensorflow as tf

    from hali_tf.training import describe

    strategy = tf.distribute.MirroredStrategy(
        ["GPU:0"] if tf.config.list_physical_devices("GPU") else ["CPU:0"]
    )
    model = _make_model(job, strategy)
    shape = (job["batch_size"], *model.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    model.make_train_function()  # Keras 3 returns nothing
    step = model.train_function
    data = iter(
        strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(images).repeat())
    )
    times, cpu_times = [], []
    for _ in range(job["steps"] + 3):
        start, cpu_start = time.perf_counter(), time.process_time()
        step(data)["d_loss"].numpy()
        times.append(time.perf_counter() - start)
        cpu_times.append(time.process_time() - cpu_start)
    coders = describe.parameters(model.encoder) + describe.parameters(model.decoder)
    return {
        "seconds": statistics.median(times[3:]),
        "cpu": min(cpu_times[3:]),
        "first": times[0],
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "parameters": [coders, describe.parameters(model.discriminator)],
        **(_operations(model, images) if job["graph"] else {}),
    }


def _make_model(job, strategy):
    """Returns the HALI of a job with its optimisers."""
    from hali_tf.architectures import ARCHITECTURES
    from hali_tf.models import HALI
    from hali_tf.training.optimizers import make_optimizer

    architecture = ARCHITECTURES[job["architecture"]]
    architecture = architecture.adapt(architecture.image[2], job["width"])
    scaling = job["precision"] == "mixed_float16"
    with strategy.scope():
        model = HALI(
            architecture,
            precision=job["precision"],
            jit_compile=job["xla"],
            one_pass=job["one_pass"],
        )
        model.compile(
            *(make_optimizer("Adam", 1e-4, 0.5, 0.999, loss_scaling=scaling) for _ in range(2))
        )
    return model


def _operations(model, images):
    """What losses and gradients of one step, in one pass, ask of the processor.

    Returns:
      Dict: "flops" of convolutions and matrix products; of the convolutions by themselves
      "convolution_flops" and, each run alone, "convolution_seconds".
    """
    import tensorflow as tf

    function = tf.function(
        lambda x: model._one_pass_gradients(x, tf.constant([0, 0]), 0, None), autograph=False
    ).get_concrete_function(tf.TensorSpec(images.shape, images.dtype))
    operations = function.graph.get_operations()
    convolutions = [operation for operation in operations if operation.type in _CONVOLUTIONS]
    return {
        "flops": sum(map(_flops_of, operations)),
        "convolution_flops": sum(map(_flops_of, convolutions)),
        "convolution_seconds": sum(map(_seconds_alone, convolutions)),
    }


def _seconds_alone(operation):
    """Best of ten runs of one convolution of a graph, on random inputs."""
    import tensorflow as tf

    arguments = {
        name: list(operation.outputs[0].shape)
        if name.endswith("sizes")
        else tf.cast(tf.random.stateless_normal(tensor.shape, [0, 1]), tensor.dtype)
        for name, tensor in zip(_CONVOLUTIONS[operation.type], operation.inputs)
    }
    settings = {name: operation.get_attr(name) for name in ("strides", "padding")}
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        getattr(tf.raw_ops, operation.type)(**arguments, **settings)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _flops_of(operation):
    """2 a multiply-add of one operation; 0 for what is no convolution or matrix product."""
    shape = lambda tensor: tuple(tensor.shape)  # noqa: E731
    if operation.type == "Conv2D":
        kernel, maps = shape(operation.inputs[1]), shape(operation.outputs[0])
    elif operation.type == "Conv2DBackpropInput":
        kernel, maps = shape(operation.inputs[1]), shape(operation.inputs[2])
    elif operation.type == "Conv2DBackpropFilter":
        kernel, maps = shape(operation.outputs[0]), shape(operation.inputs[2])
    elif operation.type == "MatMul":
        inner = shape(operation.inputs[0])[0 if operation.get_attr("transpose_a") else 1]
        return 2 * inner * operation.outputs[0].shape.num_elements()
    else:
        return 0
    flops = 2
    for size in (*kernel, *maps[:3]):  # kernel [k, k, C, F] at every [B, H, W] of the output
        flops *= size
    return flops


def _peak(job):
    """FLOP/s of the best tf.matmul of float32 and of bfloat16."""
    del job
    import tensorflow as tf

    best = {}
    multiply = tf.function(tf.matmul, autograph=False)
    for dtype in ("float32", "bfloat16"):
        for size in (1024, 1536, 2048, 3072):
            x = tf.cast(tf.random.stateless_normal([size, size], [0, 1]), dtype)
            for _ in range(8):
                start = time.perf_counter()
                multiply(x, x)
                rate = 2 * size**3 / (time.perf_counter() - start)
                best[dtype] = max(best.get(dtype, 0), rate)
    return best


def _pipeline(job):
    """Images a second of `train_batches`, from the second batch on, for about five seconds."""
    from hali_tf import data

    source = data.open_source(job["data"], job["data_dir"], image_size=job["image_size"])
    images = data.train_batches(source.load("train"), job["batch_size"], 0, 0, 10**9)
    iterator = images.as_numpy_iterator()
    next(iterator)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 5:
        count += len(next(iterator))
    return count / (time.perf_counter() - start)


def _report(options, variants, results):
    """Prints the table, the peak and the pipeline's rate."""
    flops, peak = (
        results[0][0]["flops"],
        {dtype: max(round_[dtype] for round_ in results["peak"]) for dtype in results["peak"][0]},
    )
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
    _report_convolutions(variants, results, peak)
    pipeline = results["pipeline"][0]
    print(
        f"input pipeline, {options.data}: {pipeline:.0f} images/s, "
        f"{pipeline / fastest:.1f} times the fastest variant's"
    )


def _report_convolutions(variants, results, peak):
    """Prints the rate of the convolutions of a step, each run by itself."""
    for index, job in enumerate(variants):
        alone = results[index][0]
        if "convolution_seconds" in alone:
            dtype = job["precision"].removeprefix("mixed_")
            rate = alone["convolution_flops"] / alone["convolution_seconds"]
            print(
                f"convolutions of a step alone, {dtype}: "
                f"{alone['convolution_seconds'] * 1e3:.0f} ms, {rate / 1e9:.0f} GFLOP/s, "
                f"{rate / peak[dtype]:.0%} of the peak"
            )


if __name__ == "__main__":
    _define_flags()
    command.run(main, __doc__)
