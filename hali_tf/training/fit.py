"""Trains a run from its configuration, from the start or from where it was stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from hali_tf import data
from hali_tf.config import Config
from hali_tf.data import Source
from hali_tf.errors import UserError
from hali_tf.files import write_json
from hali_tf.measures import labels, reconstruction
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.coder import Coder
from hali_tf.runs import reopening, run_folder
from hali_tf.runs.checkpoints import Checkpoints
from hali_tf.runs.metrics_file import MetricsFile
from hali_tf.runs.reopening import make_model
from hali_tf.training import callbacks, log, projector
from hali_tf.training.cluster import Workers
from hali_tf.training.divergence import Collapse, Diverged, Rollbacks
from hali_tf.training.optimizers import make_optimizer
from hali_tf.training.window import Window

_FIRST = 256  # most images of the data-dependent initialisation; each worker has them all at once
_ON_NON_FINITE = (
    "the last checkpoint is from before it. Continue from it in a new --run_dir, with "
    "--init_from=THIS RUN and a lower --learning_rate, or with --precision=float32"
)


def build(config: Config, strategy: tf.distribute.Strategy) -> Autoencoder:
    """The model of a run with its optimisers, made in the strategy's scope.

    Seeds the process: initialisers draw from Keras' own generator, and nothing else does.
    """
    keras.utils.set_random_seed(config.run.seed)
    with strategy.scope():
        model = make_model(config)
        model.compile(*(make_optimizer(config.optimisation) for _ in model.NORMS))
    return model


def fit(config: Config, source: Source, strategy: tf.distribute.Strategy) -> dict[str, Any] | None:
    """Trains until --steps; of several workers the chief writes what a run folder holds.

    Args:
      config: resolved `Config`; its run folder is locked by this process, or by the chief's.
      source: `data.Source`.
      strategy: `tf.distribute.Strategy`.

    Returns:
      The numbers at the end, as in summary.json: step and `reconstruction.errors` of the test
      split, and `labels.count_errors` of it if some images had a label. None from another worker
      than the chief.

    Raises:
      UserError: data, disk or a non-finite value; says what to do.
      callbacks.Interrupted: a signal asked to stop; the run is saved.
    """
    train, validation, test = (source.load(name) for name in data.SPLITS)
    run_folder.check_start(config, train, strategy.num_replicas_in_sync)
    workers = Workers(strategy)
    workers.check_same(_common(config, train))
    labelled = _draw_labelled(config, train)
    model = build(config, strategy)
    window, collapse = Window(model.logged), Collapse(model)
    further = {"window": window.variable, "collapse": collapse.window.variable}
    checkpoints = Checkpoints(config.run_dir, model, further)
    first_step = _begin(config, model, train, checkpoints, workers)
    logs = os.path.join(config.run_dir, "logs")
    writer = tf.summary.create_file_writer(logs) if workers.chief else None
    rollbacks = Rollbacks(config.run_dir, workers)
    rollbacks.resume_stream(model)
    due = callbacks.Every(config.run.checkpoint_every, config.optimisation.steps)
    with callbacks.Save(due, checkpoints, workers) as save:  # a signal outlives a rollback
        training = _Training(
            config, workers, model, train, labelled, validation, save, window, collapse, writer
        )
        while first_step < config.optimisation.steps:
            try:
                training.run(first_step)
                break
            except Diverged as error:
                if config.run.on_divergence != "rollback":
                    raise
                first_step = rollbacks.take(error, model, checkpoints)
    summary = None
    if workers.chief:
        projector.write(logs, model, validation, source.label_names)
        summary = _conclude(config, model, test, writer)
    workers.wait()  # if one left now, the others would take it for lost
    return summary


def _common(config, train):
    """What is the same on all workers, by name: the flags, without folders; and the images."""
    own = ("run_dir", "data_dir", "cache_dir", "device")
    flags = {f"--{flag}": value for flag, value in config.flat().items() if flag not in own}
    return {**flags, "training images": run_folder.describe(train)}


def _draw_labelled(config, train):
    """Which training images have a label, if only some have one; refuses before a run begins."""
    labels = config.labels
    if not labels.per_class:
        return None
    positions = data.draw_labelled(train.labels, labels.classes, labels.per_class, config.run.seed)
    if not labels.spreading:
        return _Labelled(positions, None)
    from hali_tf.training.spread import spread  # imports scikit-learn

    return _Labelled(positions, spread(config, train, positions))


def _conclude(config, model, test, writer):
    """Measures the end of a run; writes and returns its summary."""
    coder = Coder(model)
    summary = {"step": int(model.step.numpy()), **reconstruction.errors(coder, test, bar=True)}
    if config.labels.per_class:
        summary.update(labels.count_errors(coder, config.labels.classes, test))
    with writer.as_default():
        _compare_in_tensorboard(config, summary)
    write_json(os.path.join(config.run_dir, "summary.json"), summary)
    return summary


def _compare_in_tensorboard(config, summary):
    """Writes flags and final errors for HParams, what one compares first in the first columns."""
    values = {"steps": config.optimisation.steps, **config.hyperparameters()}
    first = ["learning_rate", "width", "steps"]
    names = [*first, *(name for name in values if name not in first)]
    errors = {f"errors/test_{name}": value for name, value in summary.items() if name != "step"}
    hparams.hparams_config(
        [hparams.HParam(name) for name in names],
        [hparams.Metric(tag, display_name=tag.split("test_")[1]) for tag in errors],
    )
    name = os.path.basename(os.path.abspath(config.run_dir))
    hparams.hparams(values, trial_id=name)
    for tag, value in errors.items():
        tf.summary.scalar(tag, value, step=summary["step"])


def _begin(config, model, train, checkpoints, workers):
    """Restores the last checkpoint, or makes that of step 0; returns the step.

    The chief does, and the other workers restore what it has.
    """
    restored = checkpoints.restore() if workers.chief else None
    trained = run_folder.trained(config.run_dir) if workers.chief else []
    if restored is None and trained:
        raise UserError(
            f"{config.run_dir}: {trained[0]} is there, but no checkpoint; put the checkpoints "
            "back, or name another --run_dir"
        )
    first_step = workers.from_chief(-1 if restored is None else restored)
    if first_step < 0:
        with workers.strategy.scope():
            first = min(config.optimisation.batch_size // config.optimisation.accumulate, _FIRST)
            source = config.model.init_from
            if source:  # its decoder makes images for networks that it lacks
                reopening.copy_weights(source, model)
            model.initialize_from_data(train.part(first).images)
            if source:
                reopening.copy_weights(source, model)
    if workers.chief:
        run_folder.record_start(config, train, workers.strategy.num_replicas_in_sync)
        if first_step < 0:  # from here on, a folder without a checkpoint has lost it
            checkpoints.save()
    workers.wait()  # until the chief has saved
    first_step = max(first_step, 0)
    if not workers.chief:
        checkpoints.follow(first_step)
    return first_step


class _Labelled(NamedTuple):
    """Training images with a label: their positions, and the label that spreads to each image."""

    positions: np.ndarray
    spread: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class _Training:
    """What a run trains with, whichever step it starts from."""

    config: Config
    workers: Workers
    model: Autoencoder
    train: data.Split
    labelled: _Labelled | None
    validation: data.Split
    save: callbacks.Save
    window: Window
    collapse: Collapse
    writer: tf.summary.SummaryWriter | None

    def run(self, first_step: int) -> None:
        """Fits from `first_step` to the last."""
        steps = self.config.optimisation.steps - first_step
        batches = self._batches(first_step)
        with contextlib.ExitStack() as stack:
            active = self._callbacks(first_step, stack)
            for callback in active:
                callback.first_step = first_step
            self.model.fit(
                batches, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=active
            )

    def _batches(self, first_step):
        """What the steps train on, each replica its share."""
        config, train = self.config, self.train
        seed, labels = config.run.seed, config.labels
        steps = (config.optimisation.batch_size, seed, first_step, config.optimisation.steps)
        if self.labelled is not None and self.workers.chief:
            path = os.path.join(config.run_dir, "labelled.json")
            write_json(path, self.labelled.positions.tolist())

        def of_process(context):
            pieces = context.num_replicas_in_sync // context.num_input_pipelines
            first = context.input_pipeline_id * pieces
            share = data.Share(first, pieces, context.num_replicas_in_sync)
            which = {"share": share, "flip": config.data.flip}
            if self.labelled is None:
                return data.train_batches(train, *steps, **which)
            which.update(shift=labels.shift, warp=labels.warp)
            return data.semi_supervised_batches(
                train, self.labelled.positions, *steps, spread=self.labelled.spread, **which
            )

        return self.workers.strategy.distribute_datasets_from_function(of_process)

    def _callbacks(self, first_step, stack):
        """For all that is not a step; `stack` closes those that have something to close."""
        config, workers, writer = self.config, self.workers, self.writer
        last_step, run = config.optimisation.steps, config.run
        profile = run.profiled_steps()
        stops = run.on_divergence != "warn"
        active = [callbacks.StopOnNonFinite(_ON_NON_FINITE)]
        if workers.chief:
            file = MetricsFile(os.path.join(config.run_dir, "metrics.jsonl"), first_step)
            figures = os.path.join(config.run_dir, "figures")
            watched = None if config.labels.encoder_only else self.collapse
            listeners = workers if stops else None
            active += [
                log.Log(run.log_every, config.optimisation.batch_size, self.window, writer, file),
                stack.enter_context(callbacks.Progress(last_step)),
                log.Evaluate(
                    self.save.due,
                    self.validation,
                    figures,
                    writer,
                    file,
                    self.save.checkpoints,
                    watched,
                    listeners,
                ),
            ]
        elif stops:
            active.append(callbacks.HearOfCollapse(self.save.due, workers))
        active.append(self.save)
        if profile and workers.chief:
            logs = os.path.join(config.run_dir, "logs")
            active.append(stack.enter_context(callbacks.Profile(*profile, logs)))
        return active
