"""Training that goes wrong: what counts as collapse, and rollbacks."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from absl import logging

from hali_tf.data import Split, batches
from hali_tf.errors import UserError
from hali_tf.files import write_json
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.runs.checkpoints import Checkpoints
from hali_tf.runs.history import read_rollbacks
from hali_tf.training.cluster import Workers
from hali_tf.training.window import Window

MOST_ROLLBACKS = 3

_FROM_STEP = 500  # before it everything looks alike, for nothing is learned
_WON = 0.995  # accuracy on the examples of either side
_LATENTS_ALIKE = 0.01  # deviation between images; a latent's own is about 1
_IMAGES_ALIKE = 0.02  # of the originals' deviation
_IMAGES = 128


class Diverged(UserError):
    """Training has gone wrong at `step`; `kind` is "non-finite" or "collapse"."""

    def __init__(self, words: str, step: int, kind: str):
        super().__init__(words)
        self.step, self.kind = step, kind


class Collapse:
    """Tells by measures whether a side of the training has collapsed.

    Attributes:
      window: accuracies since the last evaluation, for a checkpoint.

    Args:
      model: `Autoencoder`.
    """

    def __init__(self, model: Autoencoder):
        self._model = model
        names = [name for name in ("accuracy_q", "accuracy_p") if name in model.logged]
        self.window = Window(names)

    def add(self, logs: Mapping[str, float]) -> None:
        """Adds a step."""
        self.window.add({name: float(logs[name]) for name in self.window.names})

    def measure(self, images: np.ndarray, step: int) -> tuple[dict[str, float], list[str]]:
        """Measures on held-out images, and the accuracies since the last time.

        Args:
          images: uint8 [N, H, W, C]; the first 128 are used.
          step: of training; until step 500 nothing counts as collapse.

        Returns:
          Dict with, for each level l, "latent_spread_l", the deviation of the means of z_l between
          images, and "image_spread_l", the deviation between the images reconstructed from it
          relative to that of the originals; and a sentence for each collapse.
        """
        model, images = self._model, images[:_IMAGES]
        parts = [part.numpy() for part in batches(Split(images))]
        means = zip(*([q.mean.numpy() for q in model.encode(part)] for part in parts))
        latents = [_spread(np.concatenate(of_level)) for of_level in means]
        of_originals = _spread(images) or 1.0
        rebuilt = [
            _spread(np.concatenate([model.reconstruct(part, level).numpy() for part in parts]))
            / of_originals
            for level in range(1, model.num_levels + 1)
        ]
        measures = {f"latent_spread_{l}": value for l, value in enumerate(latents, start=1)}
        measures.update({f"image_spread_{l}": value for l, value in enumerate(rebuilt, start=1)})
        accuracies = self.window.take().values()
        if len(images) == 1:  # it differs from no other
            latents, rebuilt = [], []
        return measures, _sentences(latents, rebuilt, accuracies) if step >= _FROM_STEP else []


def _sentences(latents, rebuilt, accuracies):
    sentences = []
    if accuracies and min(accuracies) > _WON:
        sentences.append(
            f"the discriminator has won: it tells {min(accuracies):.1%} of the examples of both "
            "sides right, so encoder and decoder get nothing to learn from"
        )
    for level, spread in enumerate(latents, start=1):
        if spread < _LATENTS_ALIKE:
            sentences.append(
                f"the encoder has collapsed: its means of z_{level} are the same for all images "
                f"(deviation {spread:.2g})"
            )
    for level, spread in enumerate(rebuilt, start=1):
        if spread < _IMAGES_ALIKE:
            sentences.append(
                f"the decoder has collapsed: it makes the same image of every z_{level} "
                f"(deviation {spread:.2g} of that between originals)"
            )
    return sentences


def _spread(values):
    """RMS over entries of the deviation between examples, [N, ...]."""
    return float(np.sqrt(np.mean(np.var(values.astype(np.float32), axis=0))))


class Rollbacks:
    """The rollbacks that a run has taken, as its file rollbacks.json lists them.

    After each, the model draws otherwise, so that it does not come to the same place again.

    Args:
      run_dir: folder of the run.
      workers: `Workers`, who go back together.
    """

    def __init__(self, run_dir: str, workers: Workers):
        self._run_dir, self._workers = run_dir, workers

    def resume_stream(self, model: Autoencoder) -> None:
        """Lets a model draw as the run does since its last rollback."""
        model.use_stream(len(read_rollbacks(self._run_dir)))

    def take(self, error: Diverged, model: Autoencoder, checkpoints: Checkpoints) -> int:
        """Goes back to a checkpoint: the last one, or after a collapse the best.

        Returns:
          The step of it.

        Raises:
          Diverged: as it was received, if the run has gone back three times already.
        """
        taken = read_rollbacks(self._run_dir)
        if len(taken) >= MOST_ROLLBACKS:
            raise Diverged(
                f"{error}; the run has gone back {MOST_ROLLBACKS} times already",
                error.step,
                error.kind,
            ) from error
        self._workers.wait()  # until all have read the file
        step = 0
        if self._workers.chief:
            step = checkpoints.go_back("best" if error.kind == "collapse" else "last")
            way = {"at": error.step, "to": step, "reason": str(error)}
            write_json(os.path.join(self._run_dir, "rollbacks.json"), [*taken, way])
        step = self._workers.from_chief(step)
        if not self._workers.chief:
            checkpoints.follow(step)
        model.use_stream(len(taken) + 1)
        logging.warning(
            "%s. Going back to step %d, and continuing with other random draws (%d of %d)",
            error,
            step,
            len(taken) + 1,
            MOST_ROLLBACKS,
        )
        return step
