"""Convolutions of the tables: `Conv`, `ConvTranspose`, `Residual`, `Upsample` and `Image` rows."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.layers.random import dropout
from hali_tf.layers.weight_norm import WeightNormConv2D


class BatchNorms:
    """Makes batch normalisations that share their settings.

    Args:
      momentum: share of the old moving statistics in the new ones.
      synchronized: whether replicas normalise by the statistics of the global batch.
    """

    def __init__(self, momentum=0.95, synchronized=False):
        self._settings = {"momentum": momentum, "synchronized": synchronized}

    def make(self, dtype: str | None) -> keras.layers.BatchNormalization:
        """A new batch normalisation of precision policy `dtype`."""
        return keras_versions.BatchNormalization(epsilon=1e-5, dtype=dtype, **self._settings)


def activate(x: tf.Tensor, activation: str | None, slope: float) -> tf.Tensor:
    """Nonlinearity by name: "leaky_relu", "maxout" over pairs of channels, "tanh" or None."""
    if activation == "leaky_relu":
        return keras_versions.leaky_relu(x, slope)
    if activation == "maxout":
        return tf.maximum(*tf.split(x, 2, axis=-1))
    if activation == "tanh":
        return tf.tanh(x)
    return x


class Dropout(keras.layers.Layer):
    """Zeroes entries with probability `rate` and scales the others, by an explicit seed."""

    def __init__(self, rate, dtype=None):
        super().__init__(dtype=dtype)
        self._rate = rate
        self.built = True  # it has no variables; Keras 3 refuses to train a layer not built yet

    def call(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns x with dropout by the draw of `seed`, int32 [2]."""
        return dropout(x, self._rate, seed)


class ConvBlock(keras.layers.Layer):
    """Convolution (or transposed one), normalisation, nonlinearity.

    Shapes: [B, H, W, C] to [B, H', W', features].

    Args:
      features, kernel, strides, padding, norm, activation: as in `rows.Conv`.
      transposed: whether the convolution is a transposed one.
      slope: of the leaky ReLU.
      batch_norms: `BatchNorms`, for norm "batch".
      dtype: precision policy.
    """

    def __init__(
        self,
        features,
        kernel,
        strides=1,
        padding="same",
        norm="batch",
        activation="leaky_relu",
        *,
        transposed=False,
        slope=0.02,
        batch_norms=None,
        dtype=None,
    ):
        super().__init__(dtype=dtype)
        self._activation, self._slope = activation, slope
        filters = 2 * features if activation == "maxout" else features
        settings = {"strides": strides, "padding": padding}
        if norm == "weight":
            self.conv = WeightNormConv2D(filters, kernel, **settings)
        else:
            kind = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
            he = activation in ("leaky_relu", "maxout")
            initializer = "he_normal" if he else "lecun_normal"
            self.conv = kind(
                filters,
                kernel,
                use_bias=norm is None,
                kernel_initializer=initializer,
                dtype=dtype,
                **settings,
            )
        self.norm = batch_norms.make(dtype) if norm == "batch" else None

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns float [B, h, w, features]."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x, training=training)
        return activate(x, self._activation, self._slope)


class ResidualBlock(keras.layers.Layer):
    """Two 3x3 convolutions with batch norm and a skip; keeps the shape [B, H, W, C]."""

    def __init__(self, *, slope=0.02, batch_norms, dtype=None):
        super().__init__(dtype=dtype)
        self._slope, self._batch_norms = slope, batch_norms

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes the block for the feature maps of its input."""
        block = {"slope": self._slope, "batch_norms": self._batch_norms, "dtype": self.dtype_policy}
        self.first = ConvBlock(input_shape[-1], 3, **block)
        self.second = ConvBlock(input_shape[-1], 3, activation=None, **block)
        super().build(input_shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns a tensor of the shape and dtype of x."""
        change = self.second(self.first(x, training=training), training=training)
        return activate(x + change, "leaky_relu", self._slope)


class Pixels(keras.layers.Layer):
    """The channels of a position become a square of pixels, [B, H, W, n * n * C] to [B, nH, nW, C].

    Then come the mean over a window of n x n pixels and tanh. In a flat area the mean leaves
    nothing of a pattern that tells the pixels of a square apart, such as strided convolutions have
    in their gradients (https://distill.pub/2016/deconv-checkerboard).

    Args:
      block: n.
      dtype: precision policy.
    """

    def __init__(self, block, dtype=None):
        super().__init__(dtype=dtype)
        self._block = block
        self.built = True  # as `Dropout`

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Makes pixel (i, j) of each square from the channels from (n * i + j) * C on."""
        x = tf.nn.depth_to_space(x, self._block)
        return tf.tanh(tf.nn.avg_pool2d(x, self._block, 1, "SAME"))


class Upsample(keras.layers.Layer):
    """Bilinear upsampling by two, [B, H, W, C] to [B, 2H, 2W, C], half-pixel centres.

    Equal to `keras.layers.UpSampling2D(interpolation="bilinear")`, in the layer's own precision
    (Keras' goes through float32), as a product with a matrix for each direction: the processor's
    matrix units do that faster than additions of shifted copies, in the gradient most of all.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns [B, 2h, 2w, C] of [B, h, w, C]."""
        _, height, width, channels = x.shape
        rows, columns = (tf.constant(_doubling(n), x.dtype) for n in (height, width))
        x = tf.matmul(rows, tf.reshape(x, [-1, height, width * channels]))
        x = tf.matmul(columns, tf.reshape(x, [-1, width, channels]))
        return tf.reshape(x, [-1, 2 * height, 2 * width, channels])


def _doubling(size):
    """float32 [2n, n]: entries 2i and 2i + 1 are 3/4 of i plus 1/4 of i - 1 and of i + 1.

    At the ends an entry is its own neighbour.
    """
    own = np.repeat(np.arange(size), 2)
    neighbour = np.clip(own + np.tile([-1, 1], size), 0, size - 1)
    identity = np.eye(size, dtype=np.float32)
    return 0.75 * identity[own] + 0.25 * identity[neighbour]
