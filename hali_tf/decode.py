"""Decodes latents that hali_tf.encode wrote: images, in files.

python -m hali_tf.decode --run_dir=RUN --latents=FILE|FOLDER [--level=1] --out=FILE|FOLDER

Formats and shards are those of hali_tf.encode. Arrays: image, and what encode wrote beside the
latents and the reconstructions.

  python -m hali_tf.decode --run_dir=runs/digits --latents=latents --level=2 --out=images
"""

from __future__ import annotations

from hali_tf import command
from hali_tf.bulk import flags as bulk_flags
from hali_tf.bulk.shards import Shards
from hali_tf.errors import UsageError, UserError


def main() -> None:
    """Reads the flags, decodes, says where."""
    flags, target = bulk_flags.read()
    if not flags.latents:
        raise UsageError("--latents=: expected the file or folder that hali_tf.encode wrote")
    latents = Shards.open(flags.latents)
    if latents.job["task"] != "encode":
        raise UserError(
            f"--latents={flags.latents}: expected what hali_tf.encode wrote; received what "
            f"hali_tf.{latents.job['task']} wrote"
        )
    command.import_tensorflow()
    from hali_tf.bulk import running, tasks

    _, model, coder = running.open_run(flags)
    if latents.job["weights"] != running.weights_digest(model):
        raise UserError(
            f"--latents={flags.latents}: is of step {latents.job['step']} of a run, and "
            f"--run_dir={flags.run_dir} has other weights, of step {int(model.step.numpy())}; name "
            "the run and the --checkpoint that encoded, or encode again"
        )
    top, level = model.num_levels, flags.level or model.num_levels
    if not 1 <= level <= top:
        raise UsageError(f"--level={flags.level}: expected 1 to {top}, or 0 for the top one")
    task = tasks.Decode(coder, latents, level)
    print(running.make(task, target, model, flags.batch_size))


if __name__ == "__main__":
    bulk_flags.define(
        "hali_tf.decode",
        latents=("", "File or folder that hali_tf.encode wrote."),
        level=(0, "The level l of the z_l that is decoded; 0: the top one."),
    )
    command.run(main, __doc__)
