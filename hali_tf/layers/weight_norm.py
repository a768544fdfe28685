"""Weight normalisation (Salimans and Kingma, arXiv 1602.07868) for convolutions.

The same meaning of `v`, `g` and data-dependent initialisation as
`tfa.layers.WeightNormalization`, which raises under mixed precision.
"""

from __future__ import annotations

import keras
import tensorflow as tf


class WeightNormConv2D(keras.layers.Layer):
    """Convolution with kernel g * v / ||v||, the norm over all axes but the filters'.

    Variables are float32 and the norm is taken in float32; the convolution runs in the precision
    of its input. Hence dtype float32 with autocast off: nothing is cast behind this layer's back.

    Args:
      filters, kernel_size, strides, padding: as in `keras.layers.Conv2D`.
    """

    def __init__(self, filters, kernel_size, strides=1, padding="same"):
        super().__init__(dtype="float32", autocast=False)
        self._filters, self._kernel_size = filters, kernel_size
        self._strides, self._padding = strides, padding.upper()

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes v, g and the bias."""
        self.v = self.add_weight(
            name="v",
            shape=(self._kernel_size, self._kernel_size, input_shape[-1], self._filters),
            initializer="he_normal",
        )
        self.g = self.add_weight(name="g", shape=(self._filters,), initializer=self._norm_of_v)
        self.bias = self.add_weight(name="bias", shape=(self._filters,), initializer="zeros")
        super().build(input_shape)

    def _norm_of_v(self, *_, **__):
        """Initializer of g: with it the kernel is v at first."""
        return tf.sqrt(tf.reduce_sum(self.v**2, axis=[0, 1, 2]))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] of any float type to [B, H', W', filters] of the same."""
        kernel = self.g * tf.nn.l2_normalize(self.v, axis=[0, 1, 2])
        return self._convolve(x, kernel) + tf.cast(self.bias, x.dtype)

    def initialize_from(self, x: tf.Tensor) -> None:
        """Sets g and bias so that the outputs for `x` have mean 0 and deviation 1 per filter.

        As in section 3 of the paper; `tfa` takes the deviation before it normalises v, so the two
        agree where v has unit norm.

        Args:
          x: float [B, H, W, C], the layer's input for a first batch of data.
        """
        outputs = self._convolve(tf.cast(x, tf.float32), tf.nn.l2_normalize(self.v, [0, 1, 2]))
        mean, variance = tf.nn.moments(outputs, [0, 1, 2])
        g = tf.math.rsqrt(variance + 1e-10)
        self.g.assign(g)
        self.bias.assign(-mean * g)

    def _convolve(self, x, kernel):
        return tf.nn.conv2d(x, tf.cast(kernel, x.dtype), self._strides, self._padding)
