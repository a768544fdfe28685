"""Checkpoints of a run: the last few and the best, each whole or not at all.

A checkpoint of step N is the files ckpt-N.data-* and ckpt-N.index, and the files in the folder
alone decide which there are. The list `checkpoint` beside them is for TensorFlow's tools.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import time
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from hali_tf import files, keras_versions
from hali_tf.errors import UserError

_KEPT = {"last": 3, "best": 1}


class Checkpoints:
    """Saves and restores model, averages, optimisers and the step.

    A variable's name in a checkpoint is its path from the model by attributes, such as
    model/average/encoder/levels/0/body/stack/0/conv/kernel, whatever the version of Keras.

    Args:
      run_dir: folder of the run.
      model: `Autoencoder`, compiled if training is to continue.
      window: further variables by name, which a checkpoint need not have.

    Raises:
      UserError: TensorFlow cannot read from a folder of this name.
    """

    def __init__(self, run_dir: str, model: Any, window: Mapping[str, tf.Variable] | None = None):
        check_name(run_dir)
        self._model = model
        self._required = tf.train.Checkpoint(model=variables_of(model))
        self._further = tf.train.Checkpoint(window=dict(window or {}))
        own = _of_this_process(variables_of(model))
        self._all = tf.train.Checkpoint(model=own, window=self._further.window)
        folder = os.path.join(run_dir, "checkpoints")
        self._folders = {"last": folder, "best": os.path.join(folder, "best")}

    def save(self, which: str = "last") -> None:
        """Writes a checkpoint of the present step.

        Raises:
          UserError: it cannot be written; those before it are untouched.
        """
        folder, step = self._folders[which], int(self._model.step.numpy())
        temporary = os.path.join(folder, f"ckpt-{step}.tmp")
        try:
            with files.workplace(temporary) as made:
                self._all.write(os.path.join(made, f"ckpt-{step}"))
                for name in sorted(os.listdir(made)):  # the index last: with it, it is whole
                    files.put(os.path.join(made, name), os.path.join(folder, name))
                files.write_through(folder)
            earlier = [n for n in _steps(folder) if n < step]
            kept = earlier[max(0, len(earlier) + 1 - _KEPT[which]) :]
            for old in _steps(folder, whole=False):  # a kill may have left a part of one
                if old < step and old not in kept:
                    _remove(folder, old)
            text = f'model_checkpoint_path: "ckpt-{step}"\n'
            files.write_text(os.path.join(folder, "checkpoint"), text)
        except (tf.errors.OpError, OSError) as error:
            kept = [os.path.join(folder, f"ckpt-{n}") for n in _steps(folder)] or ["none"]
            raise UserError(
                f"{folder}: the checkpoint of step {step} cannot be written ({_reason(error)}); "
                f"free some disk and start again to resume from the last one ({kept[-1]})"
            ) from error

    def restore(self) -> int | None:
        """Restores the last checkpoint that can be read; returns its step, None if there is none.

        To be called by the one process that trains. What an earlier one left half written is
        removed. Checkpoints that cannot be read are moved to the folder `aside`, with a warning,
        and best ones of later steps without one: the run may not come by them again.

        Raises:
          UserError: no checkpoint can be read, or they are of another model.
        """
        for folder in self._folders.values():
            for path in glob.glob(os.path.join(folder, "ckpt-*.tmp")):
                shutil.rmtree(path)
            for path in glob.glob(os.path.join(folder, "ckpt-*_temp")):  # of earlier versions
                shutil.rmtree(path)
        step, damaged = self._restore("last")
        for bad in damaged:
            _set_aside(self._folders["last"], bad)
        if step is not None:
            _set_later_aside(self._folders["best"], step)
        return step

    def follow(self, step: int) -> None:
        """Restores the checkpoint of a step that another worker has just written or restored.

        Raises:
          UserError: it is not there, even after the time that a network disk may take.
        """
        path, until = os.path.join(self._folders["last"], f"ckpt-{step}"), time.monotonic() + 60
        while True:
            try:
                return self._read(path)
            except _UNREADABLE as error:
                if time.monotonic() > until:
                    raise UserError(
                        f"{path}: the chief trains from it, but this worker cannot read it "
                        f"({_reason(error)}); let --run_dir be a folder that all workers share"
                    ) from error
                time.sleep(1)

    def go_back(self, which: str) -> int:
        """Restores a checkpoint and sets aside those of later steps; returns its step.

        Args:
          which: "last" or "best"; the last one where there is no best one that can be read.

        Raises:
          UserError: no checkpoint can be read, or the disk is full.
        """
        which = which if _steps(self._folders[which]) else "last"
        try:
            self.restore_for_use(which)
        except UserError:
            if which == "last":
                raise
            logging.warning("%s: cannot be read; the last one is used", self._folders[which])
            which = "last"
            self.restore_for_use(which)
        step = int(self._model.step.numpy())
        if which != "last":
            self.save("last")
        for folder in self._folders.values():
            _set_later_aside(folder, step)
        return step

    def restore_for_use(self, which: str) -> None:
        """Restores a checkpoint: the weights and, where the model is compiled, its optimisers.

        Args:
          which: "last" or "best".

        Raises:
          UserError: there is none that can be read, or they are of another model.
        """
        if self._restore(which)[0] is None:
            if which != "last" and _steps(self._folders["last"], whole=False):
                raise UserError(
                    f"{self._folders[which]}: no checkpoint; this run has kept none as its best, "
                    "so use the last one"
                )
            raise UserError(
                f"{self._folders[which]}: no checkpoint; train the run first "
                "(python -m hali_tf.train with its flags)"
            )

    def _restore(self, which):
        """Returns the step restored, None if there is no checkpoint, and those that are damaged."""
        folder, damaged = self._folders[which], {}
        for step in reversed(_steps(folder, whole=False)):
            path = os.path.join(folder, f"ckpt-{step}")
            try:
                self._read(path)
            except _UNREADABLE as error:
                damaged[step] = (
                    f"{path}: damaged, or of another model than config.json says ({_reason(error)})"
                )
                continue
            for words in damaged.values():
                logging.warning("%s; %s is used", words, path)
            return step, list(damaged)
        if damaged:
            raise UserError(
                f"{next(iter(damaged.values()))}; there is no other that can be read: start again "
                "in a new folder"
            )
        return None, []

    def _read(self, path):
        if not files.exists(f"{path}.index"):
            raise OSError("its index is missing")
        status = self._required.read(path)
        status.assert_existing_objects_matched()
        status.expect_partial()  # optimisers, for use; metrics, of older checkpoints
        with contextlib.suppress(ValueError):  # another number of metrics, of another version
            self._further.read(path).expect_partial()


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


def _of_this_process(tree):
    """The tree with those parts of variables that one process has.

    Each replica has its own moving statistics, made equal after each step. To read their mean, all
    processes would have to ask for it.
    """
    if isinstance(tree, dict):
        return {name: _of_this_process(part) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_of_this_process(part) for part in tree]
    if isinstance(tree, tf.distribute.DistributedValues):
        return tree.values[0]
    return tree


def _all_layers(value):
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(part, keras.layers.Layer) for part in value)
    )


_UNREADABLE = (
    tf.errors.OpError, OSError, ValueError, AssertionError, IndexError, RuntimeError,
)  # fmt: skip


def is_pattern(path: str) -> bool:
    """Whether TensorFlow takes a path for a pattern of names, and so reads nothing below it."""
    return re.search(r"[\[*?\\]", path) is not None


def check_name(run_dir: str) -> None:
    """Raises UserError if TensorFlow would take the name of a folder for a pattern of names."""
    if is_pattern(run_dir):
        raise UserError(
            f"{run_dir}: TensorFlow cannot read checkpoints from a path with [, *, ? or "
            "\\; rename the folder, or name it relative to the working folder"
        )


def _steps(folder, whole=True):
    """Steps of a folder's checkpoints, ascending; unless `whole`, also of those without index."""
    pattern = re.compile(r"ckpt-(\d+)\." + ("index" if whole else r"(index|data-.*)"))
    found = map(pattern.fullmatch, files.names(folder))
    return sorted({int(name[1]) for name in found if name})


def _files(folder, step):
    """The files of a checkpoint, the index first: without it there is none."""
    names = [name for name in files.names(folder) if re.match(rf"ckpt-{step}\.(index|data-)", name)]
    return [os.path.join(folder, name) for name in sorted(names, reverse=True)]


def _remove(folder, step):
    for path in _files(folder, step):
        files.remove(path)


def _set_aside(folder, step):
    """Moves a checkpoint that is damaged, or that a rollback left, out of the way."""
    aside = os.path.join(folder, "aside")
    files.make_folder(aside)
    for path in _files(folder, step):
        files.move(path, os.path.join(aside, os.path.basename(path)))


def _set_later_aside(folder, step):
    """Sets aside the checkpoints of steps after this one."""
    for later in _steps(folder, whole=False):
        if later > step:
            _set_aside(folder, later)


def _reason(error):
    """The first line of an error; of a very long one both ends, for the reason comes last."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 400 else f"{line[:200]} ... {line[-200:]}"
