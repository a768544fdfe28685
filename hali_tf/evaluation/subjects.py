"""The models of an evaluation, from their run folders: the run's own, and the baselines."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Sequence
from typing import Any

import keras

from hali_tf import files
from hali_tf.config import Config
from hali_tf.errors import UsageError, UserError
from hali_tf.models.coder import Coder
from hali_tf.runs.reopening import load_run


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained model that is evaluated or compared with.

    Attributes:
      name: "HALI", "ALI" or "VAE"; with the run folder's name where two have the same.
      run_dir: its folder.
      config: of its run.
      model: restored; see `hali_tf.models.generative.Generative` for its methods.
    """

    name: str
    run_dir: str
    config: Config
    model: keras.Model

    @functools.cached_property
    def coder(self) -> Coder:
        """The model's encoder and decoder, of arrays."""
        return Coder(self.model)

    @property
    def step(self) -> int:
        """The step of its checkpoint."""
        return int(self.model.step.numpy())

    @property
    def slug(self) -> str:
        """The name as part of file names."""
        return _slug(self.name)

    @property
    def flags(self) -> dict[str, Any]:
        """The flags that make the weights, but for the seed and what each seed has of its own."""
        flags = {**self.config.hyperparameters(), "seed": None}
        if self.config.labels.spreading_run():
            flags["label_spreading"] = "a run"
        return flags

    @property
    def settings(self) -> dict[str, Any]:
        """All that makes the weights but the seed: flags and step."""
        return {**self.flags, "step": self.step}

    def levels(self) -> list[tuple[str, int]]:
        """(label, l) of each level: ("HALI z_1", 1), ...; plain "ALI" where there is one only."""
        count = self.model.num_levels
        if count == 1:
            return [(self.name, 1)]
        return [(f"{self.name} z_{l}", l) for l in range(1, count + 1)]


def load_subjects(run_dir: str, baselines: Sequence[str], checkpoint: str) -> tuple[Subject, ...]:
    """Restores the models.

    Args:
      run_dir: folder of the run.
      baselines: run folders to compare with.
      checkpoint: "last" or "best", of each.

    Returns:
      The run's own first.

    Raises:
      UserError: a run has no checkpoint, or another model's, or a baseline has other data.
    """
    run_dirs = [run_dir, *baselines]
    real_paths = [files.real_path(path) for path in run_dirs]
    for i, path in enumerate(run_dirs):
        if real_paths[i] in real_paths[:i]:
            raise UsageError(f"--baselines={path}: named twice, or the run itself; name each once")
    flags = ["run_dir", *["baselines"] * len(baselines)]
    loaded = [load_run(path, checkpoint, flag) for path, flag in zip(run_dirs, flags)]
    own = loaded[0][0].data.image_flags()
    for path, (config, _) in zip(baselines, loaded[1:]):
        theirs = config.data.image_flags()
        if theirs != own:
            raise UserError(
                f"--baselines={path}: has {theirs}, but {run_dir} has {own}; name runs on the same "
                "images"
            )
    names = _names(run_dirs, [config.model.kind.upper() for config, _ in loaded])
    return tuple(
        Subject(name, path, config, model)
        for name, path, (config, model) in zip(names, run_dirs, loaded)
    )


def _names(run_dirs, models):
    """Names of the subjects: of the possible forms, the shortest that tells them apart."""
    folders = [os.path.basename(os.path.normpath(path)) for path in run_dirs]
    forms = [
        models,
        [
            f"{model} {folder}" if models.count(model) > 1 else model
            for model, folder in zip(models, folders)
        ],
        [f"{model} {path}" for model, path in zip(models, run_dirs)],
        [f"{model} {path} ({i})" for i, (model, path) in enumerate(zip(models, run_dirs), 1)],
    ]
    return next(names for names in forms if len(set(map(_slug, names))) == len(names))


def _slug(name):
    return re.sub(r"[^\w.-]+", "_", name.lower())
