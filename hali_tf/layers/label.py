"""The label y beside the top latent: a categorical variable (paper, Equation 9).

Both together are one vector [z_L, y], of d + K entries, the last K a one-hot y of K classes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import tensorflow as tf

from hali_tf.layers.gaussian import Gaussian, GaussianHead


class LabelledGaussian(NamedTuple):
    """q(z_L | z_{L-1}) q(y | z_{L-1}): a diagonal Gaussian [B, d], and logits of y [B, K]."""

    gaussian: Gaussian
    logits: tf.Tensor

    @property
    def probabilities(self) -> tf.Tensor:
        """q(y | z_{L-1}), float32 [B, K]."""
        return tf.nn.softmax(self.logits)

    @property
    def mean(self) -> tf.Tensor:
        """Of [z_L, y], float32 [B, d + K]; that of y are its probabilities."""
        return tf.concat([self.gaussian.mean, self.probabilities], axis=-1)

    @property
    def stddev(self) -> tf.Tensor:
        """Of each entry of [z_L, y], float32 [B, d + K]."""
        y = self.probabilities
        return tf.concat([self.gaussian.stddev, tf.sqrt(y * (1 - y))], axis=-1)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """A draw of [z_L, y], y one-hot; gradients pass y as through its softmax.

        The straight-through Gumbel-softmax at temperature 1 (Jang et al., arXiv 1611.01144).

        Args:
          noise: standard normal, float32 [B, d + K].
        """
        of_z, of_y = tf.split(noise, [-1, self.logits.shape[-1]], axis=-1)
        uniform = tf.clip_by_value(0.5 * tf.math.erfc(-of_y / math.sqrt(2)), 1e-6, 1 - 1e-6)
        soft = tf.nn.softmax(self.logits - tf.math.log(-tf.math.log(uniform)))
        hard = tf.one_hot(tf.argmax(soft, axis=-1), soft.shape[-1])
        y = soft + tf.stop_gradient(hard - soft)
        return tf.concat([self.gaussian.sample(of_z), y], axis=-1)


class LabelledGaussianHead(keras.layers.Layer):
    """Linear 1x1 projections of [B, h, w, C] to a `LabelledGaussian`, its parts [B, h, w, ...].

    Args:
      channels: d + K.
      classes: K.
      log_sigma, dtype: as for `GaussianHead`.
    """

    def __init__(self, channels, classes, log_sigma=-1.0, dtype=None):
        super().__init__(dtype=dtype)
        self.gaussian = GaussianHead(channels - classes, log_sigma, dtype)
        self.logits = keras.layers.Conv2D(
            classes, 1, kernel_initializer="lecun_normal", dtype=dtype
        )

    def call(self, x: tf.Tensor) -> LabelledGaussian:
        """Returns the distribution, float32, of features [B, 1, 1, C]."""
        return LabelledGaussian(self.gaussian(x), tf.cast(self.logits(x), tf.float32))


def decide(z: tf.Tensor, classes: int) -> tf.Tensor:
    """[z_L, y] with the largest of the last `classes` entries 1 and the others 0."""
    y = tf.one_hot(tf.argmax(z[:, -classes:], axis=-1), classes)
    return tf.concat([z[:, :-classes], y], axis=-1)
