"""The flags that encode, decode and sample share."""

from __future__ import annotations

from typing import Any

from absl import flags

from hali_tf import config as configuration
from hali_tf.bulk.formats import KINDS
from hali_tf.bulk.shards import Target


def define(module: str, **extra: tuple[Any, str]) -> None:
    """Defines them, and `extra` flags, name=(default, help), for the command `module`."""
    configuration.define_run_flags(
        module,
        out=("", f"File to write, ending in .{', .'.join(KINDS)}, or folder for shards."),
        format=("", f"{', '.join(KINDS)}; empty: by the ending of --out, npz in a folder."),
        shard_size=(1024, "Rows of each file of a folder."),
        batch_size=(64, "Rows at a time."),
        **extra,
    )


def read() -> tuple[flags.FlagValues, Target]:
    """The values of all flags, and where the files go.

    Raises:
      UsageError: one of the shared flags cannot work.
    """
    values = configuration.run_flags()
    configuration.check("batch_size", values.batch_size, {"at_least": 1})
    target = Target.of(values.out, values.format, values.shard_size)
    if target.single:
        configuration.refuse_beside(f"out={values.out}, one file", ["shard_size"])
    return values, target
