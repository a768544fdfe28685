"""Whether a run fits into the machine's memory, before anything is made of its tables."""

from __future__ import annotations

import os

import tensorflow as tf

from hali_tf.architectures import cost
from hali_tf.config import Config
from hali_tf.errors import UsageError

# What containers may use, in both versions of Linux' control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_LARGEST_GPU = 2**39  # no GPU has more, and TensorFlow does not say how much one has


def needed(config: Config, images: int) -> int:
    """Bytes that a step of a number of images needs at least (`cost.memory`).

    Args:
      config: with channels and classes decided.
      images: per step.
    """
    optimisation, objective, labels = config.optimisation, config.objective, config.labels
    networks = ["encoder"]
    passes = (labels.per_class > 0) + (labels.consistency > 0)
    if not labels.encoder_only:
        networks += ["decoder"] if config.model.kind == "vae" else ["decoder", "discriminator"]
        passes += 1 + (labels.cycle > 0)
        passes += bool(objective.cycle_latents or objective.cycle_contrast)
    return cost.memory(
        config.table(),
        images,
        bytes_each=4 if optimisation.precision == "float32" else 2,
        networks=networks,
        hybrid_joints=objective.hybrid_shares(),
        encoder_passes=passes,
        image_discriminator=objective.image_discriminator,
        accumulate=optimisation.accumulate,
        remat=optimisation.remat,
    )


def check(config: Config, workers: int = 1) -> None:
    """Compares what a step needs at least with what there is; with --dry_run, what an image needs.

    Args:
      config: with channels, classes and precision decided.
      workers: how many machines share the batch.

    Raises:
      UsageError: the batch or the width is too large for this machine.
    """
    batch_size = config.optimisation.batch_size
    # A dry run makes the model alone, perhaps to see whether another machine can train it.
    require(
        needed(config, 1 if config.run.dry_run else batch_size // workers),
        f"--batch_size={batch_size} with --width={config.model.width:g}: a step",
        "lower one of the two, or keep less at once with --accumulate or --remat",
    )


def require(size: int, what: str, remedy: str) -> None:
    """Refuses what does not fit.

    Args:
      size: bytes that it needs at least.
      what: begins the message: the flags, and what needs them.
      remedy: ends it.

    Raises:
      UsageError: it is more than there is.
    """
    memory = available()
    if size > memory:
        raise UsageError(
            f"{what} needs at least {size / 2**30:,.1f} GiB of memory, and at most "
            f"{memory / 2**30:,.1f} GiB are available; {remedy}"
        )


def available() -> int:
    """Bytes of memory: of the machine or the container, or an upper bound of its GPUs'."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _LIMITS:
        try:
            with open(path, encoding="ascii") as f:
                memory = min(memory, int(f.read()))
        except (OSError, ValueError):  # another version, or "max"
            pass
    return max(memory, _LARGEST_GPU * len(tf.config.get_visible_devices("GPU")))
