"""What happens between the steps: progress, logs, evaluation, checkpoints, and ways to stop."""

from __future__ import annotations

import os
import signal
import time

import keras
import numpy as np
import tensorflow as tf

from hali_tf.drawing import grids
from hali_tf.errors import UserError
from hali_tf.measures import labels, perceptual, reconstruction
from hali_tf.progress import progress_bar
from hali_tf.runs.metrics_file import mean_error

_FIGURE_IMAGES = 16
_EVALUATION_IMAGES = 512


class Interrupted(Exception):
    """A signal asked to stop and the run is saved; `exit_code` is 128 + the signal's number."""

    def __init__(self, number, step):
        super().__init__(f"stopped by {signal.Signals(number).name} at step {step}, which is saved")
        self.exit_code = 128 + number


class StepCallback(keras.callbacks.Callback):
    """Calls `at(step, logs)` after each step; steps count from 1 over all starts of the run.

    Attributes:
      first_step: the step that this start goes on from, 0 at first.
    """

    first_step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Calls `at`; Keras counts batches from 0 in each start."""
        self.at(self.first_step + batch + 1, logs or {})

    def at(self, step: int, logs: dict[str, float]) -> None:
        """To be overridden."""
        raise NotImplementedError


class Every:
    """Tells whether something is due: every `steps` steps and at the `last`."""

    def __init__(self, steps, last):
        self._steps, self._last = steps, last

    def __call__(self, step: int) -> bool:
        """Returns whether it is due at a step."""
        return step % self._steps == 0 or step == self._last


class StopOnNonFinite(StepCallback):
    """Ends training with an error before anything of a broken step is logged or saved."""

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Raises UserError if a logged value is not finite."""
        for name, value in logs.items():
            if not np.isfinite(value):
                raise UserError(
                    f"{name} is {value} at step {step}; the last checkpoint is from before it. Go "
                    "on with a lower --learning_rate or --precision=float32 in a new --run_dir"
                )


class Progress(StepCallback):
    """A bar on standard error with steps, ETA and two values, closed at the end of the context."""

    def __init__(self, last_step):
        super().__init__()
        self._last_step, self._bar = last_step, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Opens the bar."""
        self._bar = progress_bar(
            words="train", total=self._last_step, initial=self.first_step, unit="step"
        )

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Moves the bar."""
        shown = (f"{name} {logs[name]:.3g}" for name in self.model.VALUES[:2])
        self._bar.set_postfix_str(", ".join(shown), refresh=False)
        self._bar.update()


class Log(StepCallback):
    """Every `every` steps: the means since the last time, to TensorBoard and metrics.jsonl.

    Args:
      every: steps.
      batch_size: global.
      writer: `tf.summary` writer.
      file: `MetricsFile`.
    """

    def __init__(self, every, batch_size, writer, file):
        super().__init__()
        self._every, self._batch_size, self._writer, self._file = every, batch_size, writer, file
        self._began, self._seconds, self._steps = 0.0, 0.0, 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock of the step."""
        self._began = time.perf_counter()

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Adds up the step; writes when it is due."""
        if step > self.first_step + 1:  # the first one compiles
            self._seconds += time.perf_counter() - self._began
            self._steps += 1
        if step % self._every:
            return
        values = {name: float(value) for name, value in logs.items()}
        rate, iterations = self.model.optimizer.learning_rate, self.model.optimizer.iterations
        rate = rate(iterations) if callable(rate) else rate  # a schedule, or what it is now
        values["learning_rate"] = float(tf.convert_to_tensor(rate))
        if self._steps:
            values["images_per_second"] = self._steps * self._batch_size / self._seconds
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(f"train/{name}", value)
        self._file.append({"step": step, **values})
        self.model.reset_metrics()
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
    """

    def __init__(self, due, held_out, folder, writer, file, checkpoints):
        super().__init__()
        self._due, self._held_out, self._folder = due, held_out, folder
        self._writer, self._file, self._checkpoints = writer, file, checkpoints
        self._best = file.best_error

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Evaluates when it is due."""
        if not self._due(step):
            return
        errors = reconstruction.errors(self.model, self._held_out, _EVALUATION_IMAGES)
        if perceptual.has_discriminator(self.model):
            errors.update(perceptual.distances(self.model, self._held_out, _EVALUATION_IMAGES))
        if self.model.architecture.classes:  # to look at; nothing is chosen by them
            errors.update(labels.count_errors(self.model, self._held_out))
        with self._writer.as_default(step):
            for name, value in errors.items():
                tf.summary.scalar(f"validation/{name}", value)
            for name, image in _figures(self.model, self._held_out.images[:_FIGURE_IMAGES]).items():
                tf.summary.image(name, image[np.newaxis])
                grids.save_png(os.path.join(self._folder, f"{name}.png"), image)
        self._file.append({"step": step, **errors})
        if mean_error(errors) < self._best:
            self._best = mean_error(errors)
            self._checkpoints.save("best")


def _figures(model, originals):
    """The model as pictures: dict of name to uint8 [H, W, C]."""
    levels = range(1, model.num_levels + 1)
    rebuilt = [model.reconstruct(originals, level).numpy() for level in levels]
    return {
        "reconstructions": grids.reconstruction_grid(originals, rebuilt),
        "samples": grids.grid(model.sample(np.arange(64)).numpy(), 8),
    }


class Save(StepCallback):
    """A checkpoint when due and when a signal asks to stop.

    SIGINT and SIGTERM let the step under way finish, save, and raise `Interrupted`. The handlers
    are in place within the context.

    Args:
      due: `Every`.
      checkpoints: `Checkpoints`.
    """

    def __init__(self, due, checkpoints):
        super().__init__()
        self._due, self._checkpoints = due, checkpoints
        self._signal, self._handlers = None, {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _remember(self, number, _):
        self._signal = number

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Saves when it is due or a signal came."""
        if self._due(step) or self._signal:
            self._checkpoints.save()
        if self._signal:
            raise Interrupted(self._signal, step)


class Profile(StepCallback):
    """Profiles the steps `first` to `last` for TensorBoard.

    Args:
      first, last: steps.
      folder: of the logs.
    """

    def __init__(self, first, last, folder):
        super().__init__()
        self._first, self._last, self._folder = first, last, folder

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the profile before its first step."""
        if self.first_step + batch + 1 == self._first:
            tf.profiler.experimental.start(self._folder)

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Ends the profile after its last step."""
        if self._first <= step and step == self._last:
            tf.profiler.experimental.stop()
