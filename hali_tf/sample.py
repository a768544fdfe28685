"""Samples images of a run, in files.

python -m hali_tf.sample --run_dir=RUN --count=50000 [--seed=0] [--label=all] --out=FILE|FOLDER

Formats and shards are those of hali_tf.encode. Arrays: image, the seed that it follows from (for
`Coder.sample`), and label where --label is given, which takes a semi-supervised run.

  python -m hali_tf.sample --run_dir=runs/digits --count=50000 --out=samples
  python -m hali_tf.sample --run_dir=runs/mnist_100 --count=1000 --label=3 --out=threes.npz
"""

from __future__ import annotations

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.bulk import flags as bulk_flags
from hali_tf.errors import UsageError


def main() -> None:
    """Reads the flags, samples, says where."""
    flags, target = bulk_flags.read()
    configuration.check("count", flags.count, {"at_least": 1, "at_most": 10**9})
    configuration.check("seed", flags.seed, {"at_least": 0, "below": 2**63})
    command.import_tensorflow()
    from hali_tf.bulk import running, tasks

    config, model, coder = running.open_run(flags)
    labels = _labels(flags.label, config.labels.per_class and config.labels.classes)
    task = tasks.Sample(coder, flags.count, flags.seed, labels)
    print(running.make(task, target, model, flags.batch_size))


def _labels(label, classes):
    """The class numbers that --label names, of a run with so many classes."""
    if not label:
        return ()
    if not classes:
        raise UsageError(f"--label={label}: the run has no labels (--labels_per_class); drop it")
    if label == "all":
        return tuple(range(classes))
    if label.isdecimal() and int(label) < classes:
        return (int(label),)
    raise UsageError(f"--label={label}: expected a class from 0 to {classes - 1}, or all")


if __name__ == "__main__":
    bulk_flags.define(
        "hali_tf.sample",
        count=(64, "Number of images."),
        seed=(0, "Other images for another number."),
        label=("", "Class number of all images, or all: each class in turn; empty: as drawn."),
    )
    command.run(main, __doc__)
