"""Encoder and decoder for use: what evaluation, figures and export call."""

from __future__ import annotations

import tensorflow as tf

from hali_tf.layers import random
from hali_tf.layers.convolution import BatchNorms
from hali_tf.layers.gaussian import Gaussian
from hali_tf.models.networks import Decoder, Encoder


def to_signed(images: tf.Tensor) -> tf.Tensor:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(x: tf.Tensor) -> tf.Tensor:
    """Float [-1, 1] to uint8 [0, 255], rounded."""
    return tf.cast(tf.round((tf.clip_by_value(x, -1.0, 1.0) + 1.0) * 127.5), tf.uint8)


class Generative(tf.Module):
    """Encoder and decoder for use: float32, deterministic unless seeds are given.

    What evaluation, figures and export call. Takes and gives uint8 images [B, H, W, C]; the
    rows of a batch do not depend on each other.

    Args:
      architecture: adapted `rows.Architecture`.
    """

    def __init__(self, architecture):
        super().__init__()
        self.image_shape = architecture.image
        self.latent_shapes = tuple(level.latent for level in architecture.levels)
        self.classes = architecture.classes
        self.encoder = Encoder(architecture, BatchNorms())
        self.decoder = Decoder(architecture, BatchNorms())

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.latent_shapes)

    def encode(self, images: tf.Tensor) -> list[Gaussian]:
        """q(z_l | mean of z_{l-1}) for l = 1..L: list of `Gaussian`, float32 [B, *latent]."""
        return self.encoder(to_signed(images))[0]

    def decode(self, z: tf.Tensor, level: int | None = None) -> tf.Tensor:
        """uint8 images from z_l, float32 [B, *latent], by the means of the levels below it.

        `level` is l; the top one by default.
        """
        return to_uint8(self.decoder(z, level=level)[0])

    def decode_latents(self, z: tf.Tensor) -> list[tf.Tensor]:
        """[z_1, ..., z_L] of `decode`, of z_L: the means of p(z_{l-1} | z_l), and `z` itself."""
        return self.decoder(z)[1]

    def reconstruct(self, images: tf.Tensor, level: int) -> tf.Tensor:
        """Encodes up to z_l and decodes from it (paper, section 3.2), by the means throughout."""
        return self.decode(self.encode(images)[level - 1].mean, level)

    def sample(self, seeds: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Draws z_L from the prior, then each level below it, then x (ancestral sampling).

        Args:
          seeds: int64 [B]; image i follows from seeds[i] alone.
          labels: int64 [B], the y of each image, where the model has one; None draws y too.

        Returns:
          uint8 [B, H, W, C].
        """

        def noise(level, shape):
            return tf.map_fn(
                lambda seed: random.normal(shape, tf.stack([seed, tf.constant(level, tf.int64)])),
                seeds,
                fn_output_signature=tf.TensorSpec(shape, tf.float32),
            )

        noises = [noise(level, shape) for level, shape in enumerate(self.latent_shapes, start=1)]
        if labels is not None:
            y = tf.one_hot(labels, self.classes)
            noises[-1] = tf.concat([noises[-1][:, : -self.classes], y], axis=-1)
        return to_uint8(self.decoder(noises[-1], noises[:-1])[0])
