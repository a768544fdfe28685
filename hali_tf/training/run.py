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

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys

import tensorflow as tf

import hali_tf
from hali_tf import data
from hali_tf.config import Config
from hali_tf.errors import UserError
from hali_tf.files import write_json, write_text
from hali_tf.models import HALI, VAE, LabelledEncoder, SemiSupervisedHALI
from hali_tf.training.checkpoints import Checkpoints

_PACKAGES = ("tensorflow", "keras", "tensorflow-addons", "tensorflow-datasets", "numpy", "Pillow")


def open_run(config):
    """Makes the run folder or goes on in the one that is there.

    Args:
      config: a `Config` with nothing left to decide but what is "auto" or 0.

    Returns:
      The config to use: in a folder that is there, "auto" is what it was there.

    Raises:
      UserError: the folder holds a run of another configuration, or cannot be written.
    """
    path = os.path.join(config.run_dir, "config.json")
    if os.path.exists(path):
        there = Config.from_file(path)
        undecided = {
            name: getattr(there, name)
            for name in ("precision", "jit_compile")
            if getattr(config, name) == "auto"
        }
        config = dataclasses.replace(config, **undecided)
        differences = config.differences(there)
        if differences:
            raise UserError(
                f"{config.run_dir} holds a run of another configuration; name another --run_dir or "
                "repeat its flags. " + "; ".join(differences)
            )
    return config


def record_start(config):
    """Writes config.json and adds this start to run.json, with its command and versions."""
    try:
        os.makedirs(os.path.join(config.run_dir, "figures"), exist_ok=True)
        write_text(os.path.join(config.run_dir, "config.json"), config.to_json())
        path = os.path.join(config.run_dir, "run.json")
        write_json(path, [*read_starts(config.run_dir), _start()])
    except OSError as error:
        raise UserError(f"--run_dir={config.run_dir}: cannot be written ({error})") from error


def read_starts(run_dir):
    """What run.json holds: a dict for each start of the run, the first one first."""
    path = os.path.join(run_dir, "run.json")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def _start():
    return {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "hali_tf.train", *sys.argv[1:]]),
        "hali_tf": hali_tf.__version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
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


def open_data(config):
    """The `data.Source` of a `Config`."""
    return data.open_source(
        config.data, config.data_dir, config.image_size, config.channels, config.strict_data,
        config.cache_dir,
    )  # fmt: skip


def make_model(config):
    """The model of a resolved `Config`, with new weights."""
    kind, own = _kind(config)
    return kind(
        config.table(),
        seed=config.seed,
        ema_decay=config.ema_decay,
        precision=config.precision,
        jit_compile=config.jit_compile == "true",
        batch_norm_momentum=config.batch_norm_momentum,
        sync_batch_norm=config.sync_batch_norm,
        **own,
    )


def _kind(config):
    """The class of a run's model, and its own arguments."""
    if config.model == "vae":
        return VAE, {}
    if not config.labels_per_class:
        return HALI, {"noise": config.noise, "gradient_penalty": config.gradient_penalty}
    settings = {name: getattr(config, name) for name in ("noise", "label_weight", "consistency")}
    if config.encoder_only:
        return LabelledEncoder, settings
    game = {name: getattr(config, name) for name in ("gradient_penalty", "cycle_labels")}
    return SemiSupervisedHALI, {**settings, **game}


def load_run(run_dir, which="last"):
    """What a run has learned, from its folder alone.

    Args:
      run_dir: folder of the run.
      which: "last" or "best" checkpoint.

    Returns:
      (Config, model) with the weights of the checkpoint; for use, not to train on.

    Raises:
      UserError: no run folder, no checkpoint in it, or one of another model.
    """
    config = Config.from_file(os.path.join(run_dir, "config.json"))
    config = dataclasses.replace(config, run_dir=run_dir)
    model = make_model(dataclasses.replace(config, precision="float32"))
    Checkpoints(run_dir, model).restore_for_use(which)
    return config, model
