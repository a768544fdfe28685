"""The run folder: all that evaluation, export and a later start of the same run need.

RUN/
  config.json     the resolved flags
  run.json        for each start: command, time, versions, git commit, machine, training images
  labelled.json   positions in the train split of the images with a label, if some have one
  checkpoints/    the last few, and best/
  logs/           TensorBoard
  figures/        of the last evaluation
  metrics.jsonl   one line per --log_every steps, and one per evaluation
  summary.json    the numbers at the end
  rollbacks.json  where --on_divergence=rollback went back, and why
  lock            which process trains
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import itertools
import os
import platform
import shlex
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

import hali_tf
from hali_tf import files, keras_versions
from hali_tf.config import Config
from hali_tf.data import Split
from hali_tf.errors import UserError, writing
from hali_tf.runs.history import read_starts


def read_config(run_dir: str, flag: str = "run_dir") -> Config:
    """Returns the configuration of a run that was started.

    Args:
      run_dir: folder of the run.
      flag: by which the user names it.

    Raises:
      UserError: the folder has none, or one of another version.
    """
    try:
        return Config.from_file(os.path.join(run_dir, "config.json"))
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from error


def read_summary(run_dir: str, step: int) -> dict[str, Any] | None:
    """The numbers at the end of a run; None unless it ended at this step.

    Raises:
      UserError: the file is damaged.
    """
    path = os.path.join(run_dir, "summary.json")
    try:
        summary = files.read_json(path, {})
        return summary if summary.get("step") == step else None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: damaged ({error}); remove it, and its numbers are left out"
        ) from error


def check_folder(config: Config) -> Config:
    """Checks that the run folder is a new one or holds this run.

    Args:
      config: a `Config` with nothing left to decide but what is "auto" or 0.

    Returns:
      The config to use: in a folder that is there, "auto" is what it was there.

    Raises:
      UserError: the folder holds a run of another configuration, one whose training cannot be
        continued with this Keras, or parts of a run without its configuration.
    """
    if not config.run_dir:  # a dry run needs none
        return config
    if files.exists(os.path.join(config.run_dir, "config.json")):
        earlier = read_config(config.run_dir)
        decided, asked = earlier.flat(), config.flat()
        undecided = [flag for flag in ("precision", "jit_compile") if asked[flag] == "auto"]
        config = config.replace(**{flag: decided[flag] for flag in undecided})
        parts = {flag: decided[flag] for flag in ("accumulate", "virtual_devices")}
        differences = config.replace(**parts).differences(earlier)  # the parts: see check_parts
        if differences:
            raise UserError(
                f"{config.run_dir} holds a run of another configuration; name another --run_dir or "
                "repeat its flags. " + "; ".join(differences)
            )
        _check_keras(config.run_dir)
    elif trained(config.run_dir) or files.exists(os.path.join(config.run_dir, "checkpoints")):
        raise UserError(
            f"{config.run_dir} holds parts of a run, but no config.json; put that back, or name "
            "another --run_dir"
        )
    return config


def trained(run_dir: str) -> list[str]:
    """Returns names of the files in a folder that only steps of training write."""
    names = ("metrics.jsonl", "summary.json", "checkpoints/best")
    return [name for name in names if files.exists(os.path.join(run_dir, name))]


def check_start(config: Config, train: Split, replicas: int) -> None:
    """Compares this start of a run with its earlier ones: see `check_images` and `check_parts`."""
    check_images(config, train)
    check_parts(config, replicas)


def check_images(config: Config, train: Split) -> None:
    """Compares what this start of a run trains on with its earlier starts.

    Args:
      config: as of `record_start`.
      train: the training images.

    Raises:
      UserError: these are other images.
    """
    starts = [start for start in read_starts(config.run_dir) if "images" in start]
    if not starts:
        return
    other = difference(starts[0]["images"], train)
    if other:
        raise UserError(
            f"--data_dir={config.data.data_dir}: these are not the training images that "
            f"{config.run_dir} was begun with ({other}); "
            "name the ones it was begun with, or another --run_dir"
        )


def check_parts(config: Config, replicas: int) -> None:
    """Compares into how many parts a batch is divided, devices x --accumulate, with earlier starts.

    Each part has batch norm of its own, so that two devices equal one with --accumulate=2. Where
    other devices change the number of parts, it warns that results will differ slightly.

    Args:
      config: as of `record_start`.
      replicas: how many devices share the batch.

    Raises:
      UserError: --accumulate has changed, and does not keep the number of parts.
    """
    starts = [start for start in read_starts(config.run_dir) if "replicas" in start]
    if not starts:
        return
    own = config.optimisation.accumulate
    before = read_config(config.run_dir).optimisation.accumulate
    # Starts of an earlier version did not record it; it could not change.
    parts = [start["replicas"] * start.get("accumulate", before) for start in starts]
    now = replicas * own
    told = ", then ".join(str(number) for number, _ in itertools.groupby(parts))
    keeps = f"--accumulate={parts[-1] // replicas}" if parts[-1] % replicas == 0 else ""
    if now != parts[-1] and own != before:
        raise UserError(
            f"--accumulate={own}: {config.run_dir} was trained with batches in {told} parts "
            f"(devices x --accumulate), and these would be {now}; expected "
            f"{keeps or f'--accumulate={before}'}"
        )
    if set(parts) != {now}:
        logging.warning(
            "%s was trained with batches in %s parts (devices x --accumulate) and continues with "
            "%d: its weights will not equal those of a run whose number of parts did not change%s",
            config.run_dir,
            told,
            now,
            f"; {keeps} keeps it" if keeps and now != parts[-1] else "",
        )


def describe(split: Split, most: int = 256) -> dict[str, Any]:
    """What tells one set of images from another.

    Their number, the means of a few that are spread over the set, and a digest of all labels.
    Means, not bits: libraries of another version may decode a pixel differently.

    Args:
      split: the images.
      most: of how many to take the mean.
    """
    count = len(split.images)
    few = split.images[np.linspace(0, count - 1, min(count, most)).astype(int)]
    means = few.mean(axis=(1, 2, 3)).round(2).tolist()
    labels = None if split.labels is None else hashlib.sha256(split.labels.tobytes()).hexdigest()
    return {"count": count, "means": means, "labels": labels}


def difference(began: dict[str, Any], train: Split) -> str:
    """What tells images from those that were described, in words; "" if nothing does.

    Args:
      began: of `describe`; that of an earlier version has fewer means, and no labels.
      train: the images.
    """
    now = describe(train, len(began["means"]))
    if now["count"] != began["count"]:
        return f"{now['count']} here, {began['count']} there"
    if not np.allclose(began["means"], now["means"], atol=0.5):
        return f"{now['count']} in both, but with other pixels"
    if began.get("labels") not in (None, now["labels"]):
        return f"{now['count']} in both, but with other labels, or in another order"
    return ""


def _check_keras(run_dir):
    """Raises UserError if the run began with a Keras that keeps the optimisers' state otherwise."""
    for start in read_starts(run_dir)[:1]:
        began_with = start["packages"]["keras"]
        if not keras_versions.same_optimizers(began_with):
            raise UserError(
                f"{run_dir} was begun with Keras {began_with} on Python {start['python']}, and "
                f"training cannot be resumed with Keras {keras.__version__}: train it with that "
                "one, or name another --run_dir (evaluation, figures and export work with both)"
            )


def record_start(config: Config, train: Split, replicas: int) -> None:
    """Writes config.json and adds this start to run.json, with its command and versions.

    To be called when nothing of the configuration can fail any more: a folder with config.json
    is that run's.

    Args:
      config: of the run.
      train: the training images.
      replicas: how many devices share the batch.
    """
    with writing(f"--run_dir={config.run_dir}"):
        files.make_folder(os.path.join(config.run_dir, "figures"))
        files.write_text(os.path.join(config.run_dir, "config.json"), config.to_json())
        path = os.path.join(config.run_dir, "run.json")
        parts = {"replicas": replicas, "accumulate": config.optimisation.accumulate}
        start = {**_start(), **parts, "images": describe(train)}
        files.write_json(path, [*read_starts(config.run_dir), start])


def _start():
    return {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "hali_tf.train", *sys.argv[1:]]),
        "hali_tf": hali_tf.__version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in keras_versions.PACKAGES},
        "machine": {
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "devices": [d.name for d in tf.config.list_logical_devices()],
        },
    }


def _git_commit():
    """Commit of the checkout that runs, "+changes" if it is not clean; None outside of one."""
    folder = os.path.dirname(hali_tf.__file__)

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # the repository may be the user's own
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
