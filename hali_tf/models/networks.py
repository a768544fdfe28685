"""Encoder, decoder and discriminator: the levels in order (paper, Equations 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from hali_tf.layers import label, random
from hali_tf.layers.gaussian import Gaussian
from hali_tf.models.levels import DecoderLevel, DiscriminatorLevel, EncoderLevel, Rows


def _common(architecture, dtype, remat, batch_norms=None):
    """What all rows of a network share."""
    slope = architecture.leaky_slope
    return {"slope": slope, "batch_norms": batch_norms, "dtype": dtype, "remat": remat}


class Encoder(keras.layers.Layer):
    """x -> z_1 -> ... -> z_L.

    Args:
      architecture: `rows.Architecture`.
      batch_norms: `BatchNorms`.
      dtype: precision policy.
      remat: as of `Rows`.
    """

    def __init__(self, architecture, batch_norms, dtype="float32", remat=False):
        super().__init__(autocast=False)
        common = _common(architecture, dtype, remat, batch_norms)
        self.levels = [EncoderLevel(level, **common) for level in architecture.levels]

    def call(
        self, x: tf.Tensor, noises: Sequence[tf.Tensor] | None = None, training: bool = False
    ) -> tuple[list[Gaussian], list[tf.Tensor]]:
        """Draws each z_l from q(z_l | z_{l-1}), or takes its mean where `noises` is None.

        Args:
          x: images in [-1, 1], [B, H, W, C].
          noises: standard normal draws, a [B, ...] of z_l's shape for each level.
          training: whether batch norm uses and records the statistics of the batch.

        Returns:
          Lists over levels: the `Gaussian`s q(z_l | z_{l-1}) and the draws z_l, float32.
        """
        gaussians, draws, z = [], [], x
        for index, level in enumerate(self.levels):
            q = level(z, training=training)
            z = q.mean if noises is None else q.sample(noises[index])
            gaussians.append(q)
            draws.append(z)
        return gaussians, draws

    def maps(self, x: tf.Tensor) -> list[tuple[list[tf.Tensor], tf.Tensor]]:
        """What the encoder makes of images on the way to z_L.

        Args:
          x: images in [-1, 1], [B, H, W, C].

        Returns:
          For each level a list of the feature maps of its rows below the Gaussian, [B, h, w, c]
          each, and the mean of z_l, [B, h, w, c] too (1 x 1 where z_l is a vector).
        """
        levels = []
        for level in self.levels:
            *maps, q = level.body.outputs(x)
            levels.append((maps, q.mean))
            x = q.mean
        return levels


class Decoder(keras.layers.Layer):
    """z_L -> ... -> z_1 -> x.

    Args:
      architecture: `rows.Architecture`.
      batch_norms: `BatchNorms`.
      dtype: precision policy.
      remat: as of `Rows`.
    """

    def __init__(self, architecture, batch_norms, dtype="float32", remat=False):
        super().__init__(autocast=False)
        common = _common(architecture, dtype, remat, batch_norms)
        self._classes = architecture.classes
        shapes = [architecture.image, *(level.latent for level in architecture.levels)]
        self.levels = [
            DecoderLevel(level, below, **common)
            for level, below in zip(architecture.levels, shapes)
        ]

    def call(
        self,
        z: tf.Tensor,
        noises: Sequence[tf.Tensor] | None = None,
        training: bool = False,
        level: int | None = None,
        joining: dict[int, tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Draws each z_{l-1} from p(z_{l-1} | z_l), or takes its mean where `noises` is None.

        Args:
          z: z_l, float32 [B, ...]; with a label y, [z_L, y] counts with its largest y as one-hot.
          noises: standard normal draws, a [B, ...] for each of z_1, ..., z_{l-1}; with `joining`,
            of as many examples as there are above that level.
          training: as for `Encoder`.
          level: l, the level of `z`; the top one by default.
          joining: {k: further examples of z_k, float32 [n, ...]}, decoded from level k on, in the
            batch after those that come from above; their y, where there is one, is one-hot.

        Returns:
          Images in [-1, 1], float32 [B, H, W, C], and the list of [z_1, ..., z_l] on the way.
        """
        level, joining = level or len(self.levels), joining or {}
        if self._classes and level == len(self.levels):
            z = label.decide(z, self._classes)
        draws = [_joined(z, joining.get(level))]
        for below in reversed(range(1, level)):
            p = self.levels[below](draws[0], training=training)
            z = p.mean if noises is None else p.sample(noises[below - 1])
            draws.insert(0, _joined(z, joining.get(below)))
        return self.levels[0](draws[0], training=training), draws


def _joined(z, others):
    """Examples `z` and behind them `others`, where there are some."""
    return z if others is None else tf.concat([z, others], axis=0)


class Discriminator(keras.layers.Layer):
    """D(x, z_1, ..., z_L): one logit per example, which depends on no other example.

    Args:
      architecture: `rows.Architecture`.
      dtype: precision policy.
      remat: as of `Rows`.
    """

    def __init__(self, architecture, dtype="float32", remat=False):
        super().__init__(autocast=False)
        common = _common(architecture, dtype, remat)
        self.levels = [DiscriminatorLevel(level, **common) for level in architecture.levels]
        self.joint = Rows(architecture.joint[:-1], **common)
        self.logit = Rows(architecture.joint[-1:], **common)

    def call(
        self,
        x: tf.Tensor,
        zs: Sequence[tf.Tensor],
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Logits, float32 [B].

        Args:
          x: images in [-1, 1], [B, H, W, C].
          zs: [z_1, ..., z_L].
          training: whether dropout is on.
          seed: int32 [2], of the dropout.
        """
        features = self.features(x, zs, training, seed)
        logits = self.logit(features, training=training, seed=random.fold(seed, -2))
        return tf.cast(tf.reshape(logits, [-1]), tf.float32)

    def features(
        self,
        x: tf.Tensor,
        zs: Sequence[tf.Tensor],
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The penultimate layer's output (paper, Equation 8), [B, 1, 1, F]."""
        features = x
        for index, (level, z) in enumerate(zip(self.levels, zs)):
            features = level(features, z, training=training, seed=random.fold(seed, index))
        return self.joint(features, training=training, seed=random.fold(seed, -1))

    def initialize_from(self, x: tf.Tensor, zs: Sequence[tf.Tensor]) -> None:
        """As `Rows.initialize_from`, for inputs as of `call`."""
        features = x
        for level, z in zip(self.levels, zs):
            features = level.initialize_from(features, z)
        self.joint.initialize_from(features)
