"""Checkpoints of a run: the last few and the best, each whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
from typing import Any

import keras
import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.errors import UserError


class Checkpoints:
    """Saves and restores model, averages, optimisers and the step.

    A variable's name in a checkpoint is its path from the model by attributes, such as
    model/average/encoder/levels/0/body/stack/0/conv/kernel, whatever the version of Keras.

    Args:
      run_dir: folder of the run.
      model: `Autoencoder`, compiled if it is to go on training.
    """

    def __init__(self, run_dir, model):
        self._model = model
        self._checkpoint = tf.train.Checkpoint(model=variables_of(model))
        folder = os.path.join(run_dir, "checkpoints")
        self._managers = {
            "last": tf.train.CheckpointManager(self._checkpoint, folder, max_to_keep=3),
            "best": tf.train.CheckpointManager(
                self._checkpoint, os.path.join(folder, "best"), max_to_keep=1
            ),
        }

    def save(self, which: str = "last") -> None:
        """Writes a checkpoint of the present step.

        Raises:
          UserError: it cannot be written; those before it are untouched.
        """
        manager, step = self._managers[which], int(self._model.step.numpy())
        try:
            manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            for path in glob.glob(os.path.join(manager.directory, f"ckpt-{step}*")):
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
            kept = manager.latest_checkpoint or "none"
            raise UserError(
                f"{manager.directory}: the checkpoint of step {step} cannot be written "
                f"({_first_line(error)}); free some disk and start again to go on from the last "
                f"one ({kept})"
            ) from error

    def restore(self) -> int:
        """Restores the last checkpoint; returns its step, 0 if there is none.

        Raises:
          UserError: the checkpoint is damaged or of another model.
        """
        return self._restore("last") or 0

    def restore_for_use(self, which: str) -> None:
        """Restores the weights of a checkpoint, without optimisers.

        Args:
          which: "last" or "best".

        Raises:
          UserError: there is none, or it is damaged or of another model.
        """
        if self._restore(which) is None:
            raise UserError(
                f"{self._managers[which].directory}: no checkpoint; train the run first "
                "(python -m hali_tf.train with its flags)"
            )

    def _restore(self, which):
        manager = self._managers[which]
        path, index = manager.latest_checkpoint, os.path.join(manager.directory, "checkpoint")
        if path is None and os.path.exists(index):  # TensorFlow would start anew
            raise UserError(f"{index}: damaged; {_remedy(index, _complete(manager.directory))}")
        if path is None:
            return None
        try:
            status = self._checkpoint.restore(path)
            status.assert_existing_objects_matched()
            status.expect_partial()  # optimisers, for use; metrics, of older checkpoints
        except (tf.errors.OpError, ValueError, AssertionError, IndexError, RuntimeError) as error:
            others = [
                name for name in _complete(manager.directory) if name != os.path.basename(path)
            ]
            raise UserError(
                f"{path}: damaged, or of another model than config.json says "
                f"({_first_line(error)}); {_remedy(index, others)}"
            ) from error
        return int(self._model.step.numpy())


def variables_of(node: Any) -> Any:
    """The variables below `node` as nested dicts and lists, which tf.train.Checkpoint takes.

    The keys are names of public attributes; an optimiser stands as a whole.

    Args:
      node: a layer or a tf.Module, or a list of them.
    """
    if isinstance(node, (list, tuple)):
        return [variables_of(part) for part in node]
    found = {}
    for name, value in keras_versions.attributes(node).items():
        if keras_versions.is_variable(value):
            found[name] = keras_versions.tf_variable(value)
        elif isinstance(value, keras_versions.OPTIMIZERS):
            found[name] = keras_versions.optimizer_state(value)
        elif isinstance(value, (keras.layers.Layer, tf.Module)) or _all_layers(value):
            found[name] = variables_of(value)
    return found


def _all_layers(value):
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(part, keras.layers.Layer) for part in value)
    )


def _complete(folder):
    """Names of the checkpoints in `folder`, by step; the index of each is written last."""
    names = (os.path.basename(path)[: -len(".index")] for path in glob.glob(f"{folder}/*.index"))
    return sorted(names, key=lambda name: int(name.split("-")[-1]))


def _remedy(index, names):
    """What a user can do about a checkpoint that cannot be read."""
    if not names:
        return "there is no other; start again in a new --run_dir"
    return f'to use the one before, make the text of {index}: model_checkpoint_path: "{names[-1]}"'


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
