"""Measures hali_tf.encode, decode and sample against the bare model; prints a Markdown table.

  python scripts/benchmark_bulk.py
  python scripts/benchmark_bulk.py --architecture=hali16 --width=1 --count=4096

The bare model is its compiled function, called with one batch after the other from memory, its
results thrown away. Against it stand the same with its results written to a file as they are, than
which no job can be cheaper, and the whole job: reading, computing, and writing files with their
manifest. All take turns, --rounds times, in this process; an image set and a checkpoint are made
up. Rates are of the best round. A ratio is the median over the rounds of the bare model's processor
time by that of the other, which other work on the machine changes little.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.errors import UsageError


def main() -> None:
    """Reads the flags; measures and prints."""
    from hali_tf.architectures import ARCHITECTURES

    options = flags.FLAGS
    configuration.check("architecture", options.architecture, {"one_of": ARCHITECTURES})
    for name in ("width", "count", "batch_size", "rounds"):
        configuration.check(name, options[name].value, {"above": 0})
    command.import_tensorflow()
    folder = tempfile.mkdtemp()
    try:
        _report(options, folder)
    finally:
        shutil.rmtree(folder)


def _report(options, folder):
    import numpy as np

    jobs = _jobs(options, folder)
    if set(options.jobs) - set(jobs):
        raise UsageError(f"--jobs={','.join(options.jobs)}: expected some of {', '.join(jobs)}")
    print(
        "| job | bare model, images/s | format | job, images/s | of the bare rate | bare, written |"
    )
    print("|---|---|---|---|---|---|")
    for name, (bare, make) in jobs.items():
        for kind in options.formats if name in (options.jobs or jobs) else ():
            passes = [bare, lambda k=kind, m=make: m(k), functools.partial(bare, folder + "/bare")]
            rounds = [[_timed(each) for each in passes] for _ in range(options.rounds + 1)]
            times = np.array(rounds[1:])  # the first one compiles; [rounds, passes, 2]
            rates = options.count / times[:, :, 0].min(axis=0)
            ratios = np.median(times[:, :1, 1] / times[:, :, 1], axis=0)
            print(
                f"| {name} | {rates[0]:,.0f} | {kind} | {rates[1]:,.0f} | {ratios[1]:.0%} | "
                f"{ratios[2]:.0%} |"
            )


def _timed(function):
    start, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - cpu


def _jobs(
    options: flags.FlagValues, folder: str
) -> dict[str, tuple[Callable[[], Any], Callable[[str], Any]]]:
    """By name: a pass of the bare model, and the job in a format."""
    import numpy as np

    from hali_tf.architectures import ARCHITECTURES
    from hali_tf.bulk import shards, tasks
    from hali_tf.bulk.images import SplitImages
    from hali_tf.data import Split
    from hali_tf.models import HALI
    from hali_tf.models.coder import Coder

    architecture = ARCHITECTURES[options.architecture]
    model = HALI(architecture.adapt(architecture.image[2], options.width))
    coder = Coder(model, options.batch_size)
    top, rng = model.num_levels, np.random.default_rng(0)
    pixels = rng.integers(0, 256, (options.count, *model.image_shape), np.uint8)
    images = SplitImages(Split(pixels), {"data": "random"})
    bare = functools.partial(_bare, options)
    job = functools.partial(_job, options, folder, model)

    def rebuild(x):
        zs = [q.mean for q in model.encode(x)]
        return zs, [model.decode(z, level) for level, z in enumerate(zs, start=1)]

    encode = job("encode", tasks.Encode(coder, images, reconstructions=False))
    encode("npz")
    latents = shards.Shards.open(shutil.move(os.path.join(folder, "encode-npz"), folder + "/z"))
    z = latents.read(0, options.count, {f"z_{top}"})[f"z_{top}"]
    decode, sample = tasks.Decode(coder, latents, top), tasks.Sample(coder, options.count, 0)
    seeds = sample.load(0, options.count)["seed"]
    return {
        "encode": (bare(lambda x: [q.mean for q in model.encode(x)], pixels), encode),
        "encode and reconstruct": (
            bare(rebuild, pixels),
            job("reconstruct", tasks.Encode(coder, images)),
        ),
        "decode": (bare(model.decode, z), job("decode", decode)),
        "sample": (bare(model.sample, seeds), job("sample", sample)),
    }


def _bare(options, function, inputs):
    """A pass of a function of the model over inputs, batch by batch; to a file if one is named."""
    import tensorflow as tf

    compiled = tf.function(function, autograph=False)

    def passes(path=os.devnull):
        with open(path, "wb", buffering=0) as file:
            for begin in range(0, options.count, options.batch_size):
                outputs = compiled(tf.constant(inputs[begin : begin + options.batch_size]))
                for output in tf.nest.flatten(outputs) if path != os.devnull else ():
                    file.write(output.numpy())

    return passes


def _job(options, folder, model, name, task):
    """A task as a whole job, in a format."""
    from hali_tf.bulk import running, shards

    def job(kind):
        out = os.path.join(folder, f"{name}-{kind}")
        shutil.rmtree(out, ignore_errors=True)
        running.make(task, shards.Target.of(out, kind, 1024), model, options.batch_size)

    return job


if __name__ == "__main__":
    configuration.define(
        "hali_tf.benchmark_bulk",
        architecture=("hali32", "Of hali_tf.architectures."),
        width=(0.3, "Multiplies the feature maps."),
        count=(2048, "Images of a job."),
        batch_size=(64, "Images at a time."),
        rounds=(3, "How often each is measured."),
        formats=(["npz", "tfrecord"], "Formats to write."),
        jobs=([], "Those to measure, by name; empty: all."),
    )
    command.run(main, __doc__)
