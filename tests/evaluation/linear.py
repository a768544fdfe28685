"""A two-level model that is linear, so that what comes out of it can be computed on paper."""

import numpy as np
import tensorflow as tf

from hali_tf.layers.gaussian import Gaussian


class Linear:
    """x = 100 + 10 z_1 in pixels; z_1 = z_2[0] + z_2[1] * chessboard, and back by projection.

    Args:
      side: H and W.
    """

    num_levels = 2

    def __init__(self, side=2):
        self.image_shape = (side, side, 1)
        self.latent_shapes = ((side, side, 1), (2,))
        chessboard = 1 - 2 * (np.indices([side, side]).sum(axis=0) % 2)
        self._basis = np.float32([np.ones([side, side]), chessboard])[..., np.newaxis]

    def encode(self, images):
        """As `Generative.encode`; sigma is 1."""
        z_1 = (tf.cast(images, tf.float32) - 100) / 10
        z_2 = tf.einsum("nhwc,khwc->nk", z_1, self._basis) / self._basis[0].size
        return [Gaussian(z, tf.ones_like(z)) for z in (z_1, z_2)]

    def decode_latents(self, z):
        """As `Generative.decode_latents`."""
        return [tf.einsum("nk,khwc->nhwc", z, self._basis), z]

    def decode(self, z, level):
        """As `Generative.decode`."""
        z_1 = z if level == 1 else self.decode_latents(z)[0]
        return tf.cast(tf.clip_by_value(tf.round(100 + 10 * z_1), 0, 255), tf.uint8)

    def reconstruct(self, images, level):
        """As `Generative.reconstruct`."""
        return self.decode(self.encode(images)[level - 1].mean, level)

    def sample(self, seeds):
        """Pixels equal to the seeds."""
        ones = tf.ones(self.image_shape, tf.int64)
        return tf.cast(seeds[:, None, None, None] * ones, tf.uint8)
