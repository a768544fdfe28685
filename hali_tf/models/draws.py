"""Standard normal draws of a train step, each from a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from hali_tf.layers import random

# Purposes of random draws within a step: each folds the step's seed into one of its own.
PRIOR, POSTERIOR, CONDITIONAL, NOISE_Q, HYBRID, NOISE_P, DROPOUT = range(7)
_PURPOSES = 7


class Draws:
    """Standard normal draws for one replica's part of the global batch.

    What an example meets depends on its place in the global batch, and not on how many replicas
    share it.

    Args:
      seed: int32 [2], of this step.
      batch: int32, the number of examples on this replica.
      replica: int32, the number of this one.
    """

    def __init__(self, seed: tf.Tensor, batch: tf.Tensor, replica: tf.Tensor):
        self._seed, self._batch, self._replica = seed, batch, replica

    def normal(self, shape: Sequence[int], purpose: int, level: int = 0) -> tf.Tensor:
        """float32 [B, *shape]."""
        seed = random.fold(self._seed, _PURPOSES * level + purpose)
        return random.normal_rows(self._replica * self._batch, self._batch, shape, seed)

    def posterior(self, shapes: Sequence[tuple[int, ...]]) -> list[tf.Tensor]:
        """For the encoder, a draw for each of z_1, z_2, ... of these shapes."""
        return [self.normal(shape, POSTERIOR, l) for l, shape in enumerate(shapes, start=1)]

    def of_hybrid(self, level: int, size: tf.Tensor) -> Draws:
        """`Draws` of their own for h_l, l = `level`, of `size` examples on this replica."""
        seed = random.fold(self._seed, _PURPOSES * level + HYBRID)
        return Draws(seed, size, self._replica)

    def noisy(self, x: tf.Tensor, sigma: float, purpose: int) -> tf.Tensor:
        """Images x, float32 [B, H, W, C], with noise of this sigma."""
        return x + sigma * self.normal(x.shape[1:], purpose) if sigma else x
