"""The paper's "Gaussian Layer": a diagonal Gaussian whose parameters are feature maps."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import tensorflow as tf

# Bounds of log sigma. Nothing fixes the scale of z_1, which both players' sides learn: without the
# upper one single maps of it went far up and drowned the others for the discriminator.
LOWEST, HIGHEST = -5.0, 1.0
_MIDDLE, _HALF = (HIGHEST + LOWEST) / 2, (HIGHEST - LOWEST) / 2


class Gaussian(NamedTuple):
    """A diagonal Gaussian: mean and stddev, float32, both of the latent's shape [B, ...]."""

    mean: tf.Tensor
    stddev: tf.Tensor

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Mean + stddev * noise, the reparameterised draw; `noise` is standard normal."""
        return self.mean + self.stddev * noise


class GaussianHead(keras.layers.Layer):
    """Linear 1x1 projection of [B, h, w, C] to a `Gaussian` of [B, h, w, c].

    log sigma is bounded to (-5, 1) by a scaled tanh: sigma can neither vanish, which would make
    the encoder deterministic and its density infinite, nor drown the mean.

    Args:
      channels: c, the latent's feature maps.
      log_sigma: where log sigma starts.
      dtype: precision policy of the projection; what comes out is float32.
    """

    def __init__(self, channels, log_sigma=-1.0, dtype=None):
        super().__init__(dtype=dtype)
        self.projection = keras.layers.Conv2D(
            2 * channels,
            1,
            kernel_initializer="lecun_normal",
            bias_initializer=_start_at(log_sigma),
            dtype=dtype,
        )

    def call(self, x: tf.Tensor) -> Gaussian:
        """Returns the distribution, float32, of features [B, h, w, C]."""
        parameters = tf.cast(self.projection(x), tf.float32)
        mean, raw = tf.split(parameters, 2, axis=-1)
        log_sigma = _MIDDLE + _HALF * tf.tanh((raw - _MIDDLE) / _HALF)
        return Gaussian(mean, tf.exp(log_sigma))


def _start_at(log_sigma):
    """Initializer of the bias: means at 0, log sigmas at `log_sigma`."""
    raw = _MIDDLE + _HALF * math.atanh((log_sigma - _MIDDLE) / _HALF)

    def initializer(shape, dtype=None, **_):
        half = shape[0] // 2
        return tf.concat([tf.zeros([half], dtype), tf.fill([half], tf.cast(raw, dtype))], 0)

    return initializer
