"""Trains HALI, ALI or a VAE.

python -m hali_tf.train --flagfile=configs/digits.cfg [--steps=... and any other flag]

The same command again resumes from the last checkpoint. Exit code: 0 done, 1 an error of data,
disk or numbers, 2 a flag that cannot work, 75 another worker was lost, 130 and 143 stopped by
SIGINT and SIGTERM and saved.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from hali_tf import command, files
from hali_tf import config as configuration
from hali_tf.config import Config, check_shares
from hali_tf.errors import UsageError, UserError

if TYPE_CHECKING:  # imports TensorFlow
    import tensorflow as tf

    from hali_tf.data import Source

# What TensorFlow says of files, in errors that are of too little memory or of data as well.
_OF_FILES = ("No space left", "Disk quota exceeded", "Too many open files", "File too large")


def main() -> None:
    """Reads the flags, makes or reopens the run folder, trains, prints what came out."""
    config = configuration.from_flags(Config)
    # After the flags: --help and a wrong flag answer at once.
    command.import_tensorflow()
    configuration.check_remote()

    from hali_tf import data
    from hali_tf.runs.checkpoints import check_name
    from hali_tf.runs.lock import locked
    from hali_tf.runs.reopening import folder_of, open_data
    from hali_tf.runs.run_folder import check_folder, read_config
    from hali_tf.training import cluster, devices, memory, optimizers

    optimisation = config.optimisation
    if config.run.dry_run:  # it needs no other worker
        os.environ.pop("TF_CONFIG", None)
    check_name(config.run_dir)
    devices.choose(optimisation.device)
    strategy = devices.make_strategy(optimisation.virtual_devices, optimisation.worker_minutes)
    replicas = strategy.num_replicas_in_sync
    check_shares(optimisation, replicas, f"{replicas} devices")
    optimizers.make_optimizer(optimisation)  # refuses a wrong name before the data is read
    if config.model.init_from and not files.exists(os.path.join(config.run_dir, "config.json")):
        read_config(folder_of(config.model.init_from)[0], "init_from")
    if config.labels.spreading_run():
        read_config(config.labels.spreading_run(), "label_spreading")
    source = open_data(config)
    config = config.replace(channels=source.image_shape[-1])
    if config.labels.per_class:
        classes = data.count_classes(source)
        if config.labels.classes not in (0, classes):
            raise UsageError(
                f"--classes={config.labels.classes} with --data={source.name}, which has "
                f"{classes}; drop the flag"
            )
        config = config.replace(classes=classes)
    workers, own = cluster.addresses()
    memory.check(devices.resolve_auto(config), max(1, len(workers)))
    if config.run.dry_run:
        return describe_run(devices.resolve_auto(check_folder(config)))
    with contextlib.nullcontext() if own else locked(config.run_dir):  # by the chief, worker 0
        config = devices.resolve_auto(check_folder(config))
        summary = train(config, source, strategy)
    if summary is not None:  # the chief's
        print_summary(config, summary)


def print_summary(config: Config, summary: dict[str, Any]) -> None:
    """Prints what came out, and where it is."""
    from hali_tf.measures import labels, reconstruction

    print(f"step {summary['step']}, {config.data.name}, held-out test images, averaged weights")
    if not config.labels.encoder_only:  # its decoder has learned nothing
        print(reconstruction.table(summary))
        figures = os.path.join(config.run_dir, "figures")
        print(f"figures: {figures}/reconstructions.png, {figures}/samples.png")
    if "label_errors" in summary:
        print(labels.sentence(config.labels.per_class, summary))
    print(f"all of the run: {config.run_dir}")


def train(
    config: Config, source: Source, strategy: tf.distribute.Strategy
) -> dict[str, Any] | None:
    """`fit` as a command: a full disk, too little memory and a lost worker are one line each."""
    import tensorflow as tf

    from hali_tf.training import cluster
    from hali_tf.training.fit import fit

    try:
        return fit(config, source, strategy)
    except (OSError, tf.errors.OpError) as error:
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        if several and cluster.lost(error):
            raise cluster.WorkerLost(
                "another worker has ended; start all of them again, and they resume from the last "
                "checkpoint"
            ) from error
        reason = str(error).partition("\n")[0]
        # Of TensorBoard's files, on a full disk or a store that cannot be reached.
        of_files = any(words in str(error) for words in _OF_FILES) or (
            files.scheme(config.run_dir)
            and isinstance(error, (tf.errors.AbortedError, tf.errors.UnavailableError))
        )
        if isinstance(error, tf.errors.OpError) and not of_files:
            if not isinstance(error, tf.errors.ResourceExhaustedError):
                raise
            raise UserError(
                f"--batch_size={config.optimisation.batch_size}: the device has too little memory "
                f"({reason}); choose a smaller batch, or see --accumulate and --remat"
            ) from error
        raise UserError(
            f"--run_dir={config.run_dir}: cannot be written ({reason}); make room or mend "
            "this, and the same command resumes from the last checkpoint"
        ) from error


def describe_run(config: Config) -> None:
    """Prints what --dry_run promises."""
    from hali_tf.runs.reopening import copy_weights, make_model
    from hali_tf.training import describe, memory, optimizers

    model = make_model(config)
    optimizers.make_optimizer(config.optimisation)
    if config.model.init_from:
        copy_weights(config.model.init_from, model)
    print(config.to_json() + describe.summary(model))
    batch_size = config.optimisation.batch_size
    mebibytes = memory.needed(config, batch_size) / 2**20
    print(f"memory of a train step at batch {batch_size}: about {mebibytes:,.0f} MiB")


if __name__ == "__main__":
    configuration.define_flags(Config, "hali_tf.train")
    command.run(main, __doc__)
