"""What is written down of a run: metrics.jsonl, TensorBoard, figures."""

from __future__ import annotations

import math
import os
import time

import numpy as np
import tensorflow as tf
from absl import logging

from hali_tf.drawing import grids
from hali_tf.drawing.strips import Strips, draw_strips
from hali_tf.measures import labels, perceptual, reconstruction
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.coder import Coder
from hali_tf.runs.metrics_file import mean_error
from hali_tf.training.callbacks import StepCallback
from hali_tf.training.divergence import Diverged

_COLUMNS, _ROWS = 8, 2  # of the images that are reconstructed
_EVALUATION_IMAGES = 512


def tag(name: str) -> str:
    """The name of a scalar in TensorBoard, which groups them by what stands before the slash."""
    if name.startswith("sigma_") and name != "sigma_x":
        return f"latents/{name}"
    return f"speed/{name}" if name == "images_per_second" else f"game/{name}"


class Log(StepCallback):
    """Every `every` steps: the means since the last time, to TensorBoard and metrics.jsonl.

    Args:
      every: steps.
      batch_size: global.
      window: `window.Window`.
      writer: `tf.summary` writer.
      file: `MetricsFile`.
    """

    def __init__(self, every, batch_size, window, writer, file):
        super().__init__()
        self._every, self._batch_size, self._window = every, batch_size, window
        self._writer, self._file = writer, file
        self._began, self._seconds, self._steps = 0.0, 0.0, 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock of the step."""
        self._began = time.perf_counter()

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Adds up the step; writes when it is due."""
        if step > self.first_step + 1:  # the first one compiles
            self._seconds += time.perf_counter() - self._began
            self._steps += 1
        self._window.add({name: float(logs[name]) for name in self.model.measured(step)})
        if step % self._every:
            return
        values = self._window.take()
        rate, iterations = self.model.optimizer.learning_rate, self.model.optimizer.iterations
        rate = rate(iterations) if callable(rate) else rate  # a schedule, or what it is now
        values["learning_rate"] = float(tf.convert_to_tensor(rate))
        if self._steps:
            values["images_per_second"] = self._steps * self._batch_size / self._seconds
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(tag(name), value)
        self._file.append({"step": step, **values})
        self._seconds, self._steps = 0.0, 0


class Evaluate(StepCallback):
    """When due: errors and figures of held-out images; keeps the checkpoint of the lowest error.

    Args:
      due: `Every`.
      held_out: `Split`.
      folder: for the figures.
      writer: `tf.summary` writer.
      file: `MetricsFile`.
      checkpoints: `Checkpoints`.
      collapse: `divergence.Collapse`, or None for a model without a decoder to look at.
      workers: `Workers`, who are told of a collapse that ends training; None if none does.
    """

    def __init__(self, due, held_out, folder, writer, file, checkpoints, collapse, workers):
        super().__init__()
        self._collapse, self._workers = collapse, workers
        self._due, self._held_out, self._folder = due, held_out, folder
        self._part = held_out.part(_EVALUATION_IMAGES)
        self._writer, self._file, self._checkpoints = writer, file, checkpoints
        self._best = file.best_error

    def set_model(self, model: Autoencoder) -> None:
        """Compiles what evaluates the model, for all evaluations."""
        super().set_model(model)
        self._coder, self._embed = Coder(model), None
        if perceptual.has_discriminator(model):
            self._embed = perceptual.embedding(model)

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Evaluates when it is due.

        Raises:
          Diverged: a side of the training has collapsed, and that is to end it.
        """
        if self._collapse:
            self._collapse.add(logs)
        if not self._due(step):
            return
        errors = reconstruction.errors(self._coder, self._part)
        if self._embed:
            errors.update(perceptual.distances(self._coder, self._embed, self._part))
        classes = self.model.architecture.classes
        if classes:  # to look at; nothing is chosen by them
            errors.update(labels.count_errors(self._coder, classes, self._held_out))
        spreads, collapsed = {}, []
        if self._collapse:
            spreads, collapsed = self._collapse.measure(self._part.images, step)
        with self._writer.as_default(step):
            for name, value in errors.items():
                tf.summary.scalar(f"errors/{name}", value)
            for name, value in spreads.items():
                tf.summary.scalar(f"latents/{name}", value)
            self._draw()
            if collapsed:
                tf.summary.text("collapse", "; ".join(collapsed))
        said = {"collapse": collapsed} if collapsed else {}
        self._file.append({"step": step, **errors, **spreads, **said})
        if self._workers:
            self._workers.from_chief(bool(collapsed))
        if collapsed:
            self._stop_or_warn(collapsed, step)
        if self._collapse and mean_error(errors) < self._best:
            self._best = mean_error(errors)
            self._checkpoints.save("best")

    def _stop_or_warn(self, collapsed, step):
        """Raises Diverged where a collapse ends training; warns otherwise."""
        words = f"step {step}: {'; '.join(collapsed)}"
        if self._workers:
            best = math.isfinite(self._best)
            raise Diverged(
                f"{words}. Start again in a new --run_dir with other flags, such as "
                "--gradient_penalty=1"
                + (", from the best checkpoint by --init_from=THIS RUN:best" if best else ""),
                step,
                "collapse",
            )
        logging.warning("%s", words)

    def _draw(self):
        """Samples and reconstructions, as PNG files and in TensorBoard."""
        originals = self._part.images[: _COLUMNS * _ROWS]
        levels = range(1, self._coder.num_levels + 1)
        rebuilt = [self._coder.reconstruct(originals, level) for level in levels]
        samples = grids.grid(self._coder.sample(np.arange(64)), 8)
        tf.summary.image("samples", samples[np.newaxis])
        tf.summary.image("reconstructions", _labelled([originals, *rebuilt])[np.newaxis])
        pictures = {
            "reconstructions": grids.reconstruction_grid(originals, rebuilt, _COLUMNS),
            "samples": samples,
        }
        for name, picture in pictures.items():
            grids.save_png(os.path.join(self._folder, f"{name}.png"), picture)


def _labelled(images):
    """Originals and reconstructions [N, H, W, C] of each level in rows that say what they are."""
    columns = min(_COLUMNS, len(images[0]))
    rows = len(images[0]) // columns
    names = ["original", *(f"level {l}" for l in range(1, len(images)))]
    strips = [part[i * columns : (i + 1) * columns] for i in range(rows) for part in images]
    return np.asarray(draw_strips(Strips(np.stack(strips), [""] * columns, names * rows)))
