"""Trains a run from its configuration, from the start or from where it was stopped."""

import contextlib
import os

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from hali_tf import data
from hali_tf.files import write_json
from hali_tf.measures import labels, reconstruction
from hali_tf.runs.checkpoints import Checkpoints
from hali_tf.runs.metrics_file import MetricsFile
from hali_tf.runs.reopening import make_model
from hali_tf.training import callbacks, projector
from hali_tf.training.optimizers import make_optimizer


def build(config, strategy):
    """The model of a run with its optimisers, made in the strategy's scope.

    Seeds the process: initialisers draw from Keras' own generator, and nothing else does.
    """
    keras.utils.set_random_seed(config.seed)
    arguments = (
        config.optimizer,
        config.learning_rate,
        config.beta_1,
        config.beta_2,
        config.step_range("learning_rate_fall"),
        config.precision == "mixed_float16",
    )
    with strategy.scope():
        model = make_model(config)
        model.compile(*(make_optimizer(*arguments) for _ in range(model.OPTIMIZERS)))
    return model


def fit(config, source, strategy):
    """Trains until --steps and writes what a run folder holds.

    Args:
      config: resolved `Config`, its run folder made.
      source: `data.Source`.
      strategy: `tf.distribute.Strategy`.

    Returns:
      The numbers at the end, as in summary.json: step and `reconstruction.errors` of the test split,
      and `labels.count_errors` of it if some images had a label.

    Raises:
      UserError: data, disk or a non-finite value; says what to do.
      callbacks.Interrupted: a signal asked to stop; the run is saved.
    """
    train, validation, test = (source.load(name) for name in data.SPLITS)
    model = build(config, strategy)
    checkpoints = Checkpoints(config.run_dir, model)
    first_step = checkpoints.restore()
    if first_step == 0:
        with strategy.scope():
            model.initialize_from_data(train.images[: config.batch_size])
    logs = os.path.join(config.run_dir, "logs")
    writer = tf.summary.create_file_writer(logs)
    if first_step < config.steps:
        _train(config, model, train, validation, checkpoints, first_step, writer)
    projector.write(logs, model, validation, source.label_names)
    summary = {"step": int(model.step.numpy()), **reconstruction.errors(model, test)}
    if config.labels_per_class:
        summary.update(labels.count_errors(model, test))
    with writer.as_default():
        hparams.hparams({"steps": config.steps, **config.hyperparameters()})
        for name, value in summary.items():
            if name != "step":
                tf.summary.scalar(f"test/{name}", value, step=summary["step"])
    write_json(os.path.join(config.run_dir, "summary.json"), summary)
    return summary


def _batches(config, train, first_step):
    """What the steps train on; the first time, writes which images have a label."""
    steps = (config.batch_size, config.seed, first_step, config.steps)
    if not config.labels_per_class:
        return data.train_batches(train, *steps)
    labelled = data.draw_labelled(
        train.labels, config.classes, config.labels_per_class, config.seed
    )
    write_json(os.path.join(config.run_dir, "labelled.json"), labelled.tolist())
    how_far = config.label_shift, config.label_warp
    return data.semi_supervised_batches(train, labelled, *steps, *how_far)


def _train(config, model, train, validation, checkpoints, first_step, writer):
    """Fits from `first_step` to the last, with all that happens beside the steps."""
    file = MetricsFile(os.path.join(config.run_dir, "metrics.jsonl"), first_step)
    batches = _batches(config, train, first_step)
    profile = config.step_range("profile_steps")
    due = callbacks.Every(config.checkpoint_every, config.steps)
    with contextlib.ExitStack() as stack:
        beside = [
            callbacks.StopOnNonFinite(),
            callbacks.Log(config.log_every, config.batch_size, writer, file),
            stack.enter_context(callbacks.Progress(config.steps)),
            callbacks.Evaluate(
                due, validation, os.path.join(config.run_dir, "figures"), writer, file, checkpoints
            ),
            stack.enter_context(callbacks.Save(due, checkpoints)),
        ]
        if profile:
            beside.append(callbacks.Profile(*profile, os.path.join(config.run_dir, "logs")))
        for callback in beside:
            callback.first_step = first_step
        model.fit(batches, verbose=0, callbacks=beside)
