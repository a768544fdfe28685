"""The games that discriminators play against encoder and decoder.

A side of a game is [x, z_1, ..., z_L] of its examples, float32: of_q [B, ...] of the encoder's and
of_p [B', ...] of the decoder's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from hali_tf import keras_versions, losses
from hali_tf.layers import random
from hali_tf.models.networks import Discriminator

# Lazy regularisation (Karras et al., arXiv 1912.04958, appendix B): second derivatives are costly,
# so the penalty's gradient is added in every eighth step alone, times eight.
PENALTY_EVERY = 8

Side = Sequence[tf.Tensor]
Logits = tuple[tf.Tensor, tf.Tensor]  # s_q and s_p, float32 [B] and [B']
Mean = Callable[[tf.Tensor], tf.Tensor]  # over the global batch


class Game(NamedTuple):
    """A discriminator tells both sides' examples apart.

    Attributes:
      discriminator: `Discriminator`.
      parts: how many of x, z_1, ..., z_L it sees.
    """

    discriminator: Discriminator
    parts: int

    def score(
        self, example: Side, training: bool = False, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Logits, float32 [B]; `seed`, int32 [2], is of the dropout in training."""
        x, *zs = example[: self.parts]
        return self.discriminator(x, zs, training=training, seed=seed)

    def logits(self, of_q: Side, of_p: Side, seed: tf.Tensor) -> Logits:
        """Logits of both sides, with dropout."""
        logits = self.score(_concatenated(of_q, of_p, self.parts), training=True, seed=seed)
        batch = tf.shape(of_q[0])[0]
        return logits[:batch], logits[batch:]

    def one_pass(
        self, of_q: Side, of_p: Side, seed: tf.Tensor, mean: Mean
    ) -> tuple[Logits, list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
        """As `Games.one_pass`, of this one alone."""
        seen_q, seen_p = of_q[: self.parts], of_p[: self.parts]
        with tf.GradientTape() as tape:
            tape.watch([*seen_q, *seen_p])
            s_q, s_p = self.logits(of_q, of_p, seed)
            loss = sum(map(mean, losses.discriminator_loss(s_q, s_p)))
        variables = keras_versions.trained(self.discriminator)
        gradients, *sides = tape.gradient(loss, [variables, seen_q, seen_p])
        of_generator = [
            tf.reshape(factor, [-1] + [1] * (len(gradient.shape) - 1)) * gradient
            for factor, side in zip(losses.generator_over_discriminator(s_q, s_p), sides)
            for gradient in side
        ]
        return (s_q, s_p), gradients, [*seen_q, *seen_p], of_generator


class Games:
    """The paper's game, of x and all latents, and that of the images alone, where there is one.

    Args:
      discriminator: `Discriminator` of x, z_1, ..., z_L.
      image_discriminator: `Discriminator` of x, or None.
      gamma: as of `losses.slope_penalty`; 0 is none.
    """

    def __init__(
        self, discriminator: Discriminator, image_discriminator: Discriminator | None, gamma: float
    ):
        self._games = [Game(discriminator, 1 + len(discriminator.levels))]
        if image_discriminator is not None:
            self._games.append(Game(image_discriminator, 1))
        self._gamma = gamma

    @property
    def variables(self) -> list[tf.Variable]:
        """What is trained of all discriminators."""
        trained = (keras_versions.trained(game.discriminator) for game in self._games)
        return list(itertools.chain(*trained))

    def build(self, example: Side) -> None:
        """Makes the variables."""
        for game in self._games:
            game.score(example)

    def initialize_from(self, of_q: Side, of_p: Side) -> None:
        """Initialises the weight normalisation: see `HALI.initialize_from_data`."""
        for game in self._games:
            x, *zs = _concatenated(of_q, of_p, game.parts)
            game.discriminator.initialize_from(x, zs)

    def logits(self, of_q: Side, of_p: Side, seed: tf.Tensor) -> list[Logits]:
        """The logits of each game; `seed`, int32 [2], is of the dropout."""
        return [game.logits(of_q, of_p, seed) for game, seed in self._seeded(seed)]

    def _seeded(self, seed):
        """Pairs of a game and the seed of its dropout."""
        return [(game, random.fold(seed, -3) if i else seed) for i, game in enumerate(self._games)]

    def one_pass(
        self, of_q: Side, of_p: Side, seed: tf.Tensor, mean: Mean
    ) -> tuple[list[Logits], list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
        """One backward pass of each discriminator's loss, which serves both players.

        It gives, beside the discriminator's own gradients, those with respect to what it sees;
        scaled an example at a time they are the generator's (see
        `losses.generator_over_discriminator`).

        Returns:
          The logits of each game; the gradients of `variables`; the tensors of both sides that are
          seen, once for each game; and the gradients of the generator's loss at each of these.
        """
        passes = (game.one_pass(of_q, of_p, seed, mean) for game, seed in self._seeded(seed))
        logits, *lists = zip(*passes)
        gradients, seen, of_generator = (list(itertools.chain(*of_games)) for of_games in lists)
        return list(logits), gradients, seen, of_generator

    def penalised(
        self, gradients: list[tf.Tensor], of_q: Side, seed: tf.Tensor, mean: Mean, step: tf.Tensor
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """Adds the gradients of the penalty, every few steps, at the encoder's examples.

        Args:
          gradients: of the discriminators' loss, for `variables`.
          of_q: the encoder's side.
          seed: int32 [2], of the dropout.
          mean: over the global batch, scaled as the loss is that `gradients` are of.
          step: int scalar.

        Returns:
          The sums, and a dict of the penalty to log, a float32 scalar, 0 where it is not due.
        """
        if not self._gamma:
            return gradients, {}
        variables = self.variables

        def penalty_of(game, seed):
            def score(example):
                return game.score(example, training=True, seed=seed)

            return losses.slope_penalty(score, of_q[: game.parts], self._gamma)

        def of_penalty():
            with tf.GradientTape() as tape:
                penalty = sum(itertools.starmap(penalty_of, self._seeded(seed)))
                loss = PENALTY_EVERY * mean(penalty)
            # The last bias moves the logits and not their slope.
            return tape.gradient(loss, variables, unconnected_gradients="zero"), penalty

        def without():
            return [tf.zeros_like(variable) for variable in variables], tf.constant(0.0)

        added, penalty = tf.cond(tf.equal(step % PENALTY_EVERY, 0), of_penalty, without)
        # Added inside of the branch, TensorFlow's memory optimiser may put the sum into a temporary
        # variable that it makes in every step and removes only where the branch is taken.
        return [d + p for d, p in zip(gradients, added)], {"penalty": penalty}


def _concatenated(of_q, of_p, parts):
    """The first `parts` of x, z_1, ..., z_L of both sides' examples, the encoder's first."""
    return [tf.concat(pair, axis=0) for pair in zip(of_q[:parts], of_p[:parts])]
