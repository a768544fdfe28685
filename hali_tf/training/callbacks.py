"""What happens between the steps: progress, checkpoints, and ways to stop."""

from __future__ import annotations

import signal

import keras
import numpy as np
import tensorflow as tf

from hali_tf.errors import UserError
from hali_tf.progress import progress_bar
from hali_tf.training.cluster import Workers
from hali_tf.training.divergence import Diverged


class Interrupted(UserError):
    """A signal asked to stop and the run is saved; `exit_code` is 128 + the signal's number."""

    def __init__(self, number, step):
        super().__init__(
            f"stopped by {signal.Signals(number).name} at step {step}, which is saved; the same "
            "command resumes"
        )
        self.exit_code = 128 + number


class StepCallback(keras.callbacks.Callback):
    """Calls `at(step, logs)` after each step; steps count from 1 over all starts of the run.

    Attributes:
      first_step: the step that this start resumes from, 0 at first.
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
    """Ends training with an error before anything of a broken step is logged or saved.

    Args:
      remedy: what the user can do, the end of the error's sentence.
    """

    def __init__(self, remedy: str):
        super().__init__()
        self._remedy = remedy

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Raises Diverged if a logged value is not finite."""
        for name, value in logs.items():
            if not np.isfinite(value):
                words = f"{name} is {value} at step {step}; {self._remedy}"
                raise Diverged(words, step, "non-finite")


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


class Save(StepCallback):
    """A checkpoint when due and when a signal asks to stop.

    SIGINT and SIGTERM let the step under way finish, save, and raise `Interrupted`, on all workers
    if one gets them. The handlers are in place within the context.

    Attributes:
      due: `Every`.
      checkpoints: `Checkpoints`.

    Args:
      due: as above.
      checkpoints: as above.
      workers: `Workers`, whose chief saves.
    """

    def __init__(self, due, checkpoints, workers):
        super().__init__()
        self.due, self.checkpoints, self._workers = due, checkpoints, workers
        self._signal, self._handlers = 0, {}

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
        number = int(self._workers.gather([self._signal]).max())
        if self._workers.chief and (self.due(step) or number):
            self.checkpoints.save()
        if number:
            raise Interrupted(number, step)


class HearOfCollapse(StepCallback):
    """Ends training on a worker when the chief, which evaluates, has found a collapse.

    Args:
      due: `Every`, of the chief's evaluations.
      workers: `Workers`.
    """

    def __init__(self, due: Every, workers: Workers):
        super().__init__()
        self._due, self._workers = due, workers

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Raises Diverged if the chief does."""
        if self._due(step) and self._workers.from_chief(0):
            raise Diverged(
                f"step {step}: a collapse, of which the chief says more", step, "collapse"
            )


class Profile(StepCallback):
    """Profiles the steps `first` to `last` for TensorBoard, within the context.

    A start that begins or ends among these steps profiles those that it has.

    Args:
      first, last: steps.
      folder: of the logs.
    """

    def __init__(self, first, last, folder):
        super().__init__()
        self._first, self._last, self._folder = first, last, folder
        self._running = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop()

    def _stop(self):
        if self._running:
            tf.profiler.experimental.stop()
        self._running = False

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the profile before its first step."""
        if not self._running and self._first <= self.first_step + batch + 1 <= self._last:
            tf.profiler.experimental.start(self._folder)
            self._running = True

    def at(self, step: int, logs: dict[str, float]) -> None:
        """Ends the profile after its last step."""
        if step == self._last:
            self._stop()
