"""The run folder: all that evaluation, export and a later start of the same run need.

RUN/
  config.json     the resolved flags
  run.json        for each start: command, time, versions, git commit, machine
  labelled.json   positions in the train split of the images with a label, if some have one
  checkpoints/    the last few, and best/
  logs/           TensorBoard
  figures/        of the last evaluation
  metrics.jsonl   a line each --log_every steps, and each evaluation
  summary.json    the numbers at the end
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from typing import Any

import keras
import tensorflow as tf

import hali_tf
from hali_tf import keras_versions
from hali_tf.config import Config
from hali_tf.errors import UserError
from hali_tf.files import read_json, write_json, write_text


def read_config(run_dir: str) -> Config:
    """Returns the configuration of a run that was started.

    Raises:
      UserError: the folder has none, or one of another version.
    """
    return Config.from_file(os.path.join(run_dir, "config.json"))


def open_run(config: Config) -> Config:
    """Makes the run folder or goes on in the one that is there.

    Args:
      config: a `Config` with nothing left to decide but what is "auto" or 0.

    Returns:
      The config to use: in a folder that is there, "auto" is what it was there.

    Raises:
      UserError: the folder holds a run of another configuration, or one whose training cannot go
        on with this Keras.
    """
    if os.path.exists(os.path.join(config.run_dir, "config.json")):
        earlier = read_config(config.run_dir)
        decided, asked = earlier.flat(), config.flat()
        undecided = [flag for flag in ("precision", "jit_compile") if asked[flag] == "auto"]
        config = config.replace(**{flag: decided[flag] for flag in undecided})
        differences = config.differences(earlier)
        if differences:
            raise UserError(
                f"{config.run_dir} holds a run of another configuration; name another --run_dir or "
                "repeat its flags. " + "; ".join(differences)
            )
        _check_keras(config.run_dir)
    return config


def _check_keras(run_dir):
    """Raises UserError if the run began with a Keras that keeps the optimisers' state otherwise."""
    for start in read_starts(run_dir)[:1]:
        began_with = start["packages"]["keras"]
        if not keras_versions.same_optimizers(began_with):
            raise UserError(
                f"{run_dir} was begun with Keras {began_with} on Python {start['python']}, and "
                f"training cannot go on with Keras {keras.__version__}: train it with that one, or "
                "name another --run_dir (evaluation, figures and export work with both)"
            )


def record_start(config: Config) -> None:
    """Writes config.json and adds this start to run.json, with its command and versions."""
    try:
        os.makedirs(os.path.join(config.run_dir, "figures"), exist_ok=True)
        write_text(os.path.join(config.run_dir, "config.json"), config.to_json())
        path = os.path.join(config.run_dir, "run.json")
        write_json(path, [*read_starts(config.run_dir), _start()])
    except OSError as error:
        raise UserError(f"--run_dir={config.run_dir}: cannot be written ({error})") from error


def read_starts(run_dir: str) -> list[dict[str, Any]]:
    """What run.json holds: a dict for each start of the run, the first one first."""
    return read_json(os.path.join(run_dir, "run.json"), missing=[])


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
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
