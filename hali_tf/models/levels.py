"""Encoder, decoder and discriminator levels, built from the rows of `hali_tf.architectures`."""

from __future__ import annotations

import functools

import keras
import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.architectures import rows as tables
from hali_tf.layers import random
from hali_tf.layers.convolution import (
    ConvBlock,
    Dropout,
    Pixels,
    ResidualBlock,
    Upsample,
)
from hali_tf.layers.gaussian import Gaussian, GaussianHead
from hali_tf.layers.label import LabelledGaussianHead
from hali_tf.layers.remat import rematerialised
from hali_tf.layers.weight_norm import WeightNormConv2D


class Rows(keras.layers.Layer):
    """The layers of a table's rows, one after the other: [B, H, W, C] to [B, H', W', C'].

    Args:
      rows: of `rows.Level`.
      channels: what a Gaussian or an Image row projects to.
      slope: of the leaky ReLU.
      batch_norms: `BatchNorms` of the model.
      dtype: precision policy.
      remat: whether training keeps only the inputs of blocks of layers (`layers.remat`).
    """

    def __init__(self, rows, channels=None, *, slope, batch_norms=None, dtype=None, remat=False):
        super().__init__(dtype=dtype)
        self._remat = remat
        self.stack = [
            layer for row in rows for layer in _layers(row, channels, slope, batch_norms, dtype)
        ]

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """`seed`, int32 [2], is for dropout, so only where there is some and `training`."""
        if not (training and self._remat):
            return self._run(range(len(self.stack)), x, training, seed)
        for block in _blocks(self.stack):
            recorded = [
                keras_versions.tf_variable(variable)
                for index in block
                for variable in self.stack[index].non_trainable_variables
            ]
            run = functools.partial(self._run, block, training=True, seed=seed)
            x = rematerialised(run, x, recorded)
        return x

    def _run(self, block, x, training, seed):
        """The layers of these indices."""
        for index in block:
            layer = self.stack[index]
            if isinstance(layer, Dropout):
                x = layer(x, random.fold(seed, index)) if training else x
            elif isinstance(layer, (ConvBlock, ResidualBlock)):
                x = layer(x, training=training)
            else:
                x = layer(x)
        return x

    def outputs(self, x: tf.Tensor) -> list[tf.Tensor]:
        """The output of every layer for `x`, without dropout, the last one as of `call`."""
        outputs = []
        for layer in self.stack:
            x = x if isinstance(layer, Dropout) else layer(x)
            outputs.append(x)
        return outputs

    def initialize_from(self, x: tf.Tensor) -> tf.Tensor:
        """Weight normalisation's data-dependent initialisation; returns the output for `x`."""
        for layer in self.stack:
            if isinstance(layer, ConvBlock) and isinstance(layer.conv, WeightNormConv2D):
                layer.conv.initialize_from(x)
            x = x if isinstance(layer, Dropout) else layer(x)
        return x


def _blocks(stack):
    """Ranges of layers, one for each block: a layer, and the layers before it that are cheap."""
    begins = [
        index
        for index in range(len(stack))
        if index == 0 or not isinstance(stack[index - 1], (Dropout, Upsample))
    ]
    return [range(*ends) for ends in zip(begins, [*begins[1:], len(stack)])]


def _layers(row, channels, slope, batch_norms, dtype):
    """The Keras layers of one row."""
    common = {"slope": slope, "batch_norms": batch_norms, "dtype": dtype}
    if isinstance(row, tables.Conv):
        block = ConvBlock(
            row.features, row.kernel, row.strides, row.padding, row.norm, row.activation, **common
        )
        return [Dropout(row.dropout, dtype), block] if row.dropout else [block]
    if isinstance(row, tables.ConvTranspose):
        return [
            ConvBlock(row.features, row.kernel, row.strides, "valid", transposed=True, **common)
        ]
    if isinstance(row, tables.Residual):
        return [ResidualBlock(**common)]
    if isinstance(row, tables.Upsample):
        return [Upsample(dtype=dtype)]
    if isinstance(row, tables.Gaussian):
        return [GaussianHead(channels, row.log_sigma, dtype)]
    if isinstance(row, tables.LabelledGaussian):
        return [LabelledGaussianHead(channels, row.classes, row.log_sigma, dtype)]
    if isinstance(row, tables.Image):
        if row.block == 1:
            return [ConvBlock(channels, row.kernel, norm=None, activation="tanh", **common)]
        pixels = row.block**2 * channels
        block = ConvBlock(pixels, row.kernel, norm=None, activation=None, **common)
        return [block, Pixels(row.block, dtype)]
    if isinstance(row, tables.Logit):
        projection = keras.layers.Conv2D(1, 1, kernel_initializer="lecun_normal", dtype=dtype)
        return [Dropout(row.dropout, dtype), projection] if row.dropout else [projection]
    raise TypeError(f"not a row of hali_tf.architectures: {row!r}")


def as_maps(z: tf.Tensor) -> tf.Tensor:
    """A vector [B, d] as feature maps [B, 1, 1, d]; feature maps as they are."""
    return z if len(z.shape) == 4 else z[:, tf.newaxis, tf.newaxis, :]


class EncoderLevel(keras.layers.Layer):
    """q(z_l | z_{l-1}): takes z_{l-1} (x for l = 1), returns a `Gaussian` of z_l's shape.

    With a label beside z_l, a `LabelledGaussian`.

    Args:
      level: `rows.Level` l.
      **common: slope, batch_norms, dtype, remat of `Rows`.
    """

    def __init__(self, level, **common):
        super().__init__(dtype=common["dtype"])
        self._latent = level.latent
        self.body = Rows(level.encoder, level.latent[-1], **common)

    def call(self, z: tf.Tensor, training: bool = False) -> Gaussian:
        """Returns q of z_l given z_{l-1}, [B, h, w, c]."""
        q = self.body(as_maps(z), training=training)
        shape = [None, *self._latent[:-1]]
        return tf.nest.map_structure(
            lambda p: tf.ensure_shape(_like(p, self._latent), [*shape, p.shape[-1]]), q
        )


class DecoderLevel(keras.layers.Layer):
    """p(z_{l-1} | z_l): takes z_l, returns a `Gaussian` of z_{l-1}'s shape, or the image for l = 1.

    Args:
      level: `rows.Level` l.
      below: shape of z_{l-1}, (H, W, C) of the image for l = 1.
      **common: slope, batch_norms, dtype, remat of `Rows`.
    """

    def __init__(self, level, below, **common):
        super().__init__(dtype=common["dtype"])
        self._below = below
        self.body = Rows(level.decoder, below[-1], **common)

    def call(self, z: tf.Tensor, training: bool = False) -> Gaussian | tf.Tensor:
        """Returns p of z_{l-1} given z_l, [B, *latent], or the image."""
        p = self.body(as_maps(z), training=training)
        return tf.nest.map_structure(
            lambda v: tf.ensure_shape(
                _like(tf.cast(v, tf.float32), self._below), [None, *self._below]
            ),
            p,
        )


def _like(maps, shape):
    """[B, 1, 1, d] as [B, d] where the latent is a vector."""
    return tf.squeeze(maps, [1, 2]) if len(shape) == 1 else maps


class DiscriminatorLevel(keras.layers.Layer):
    """Rows on the features so far, then z_l concatenated to them on the channel axis.

    Args:
      level: `rows.Level` l.
      **common: slope, dtype, remat of `Rows`.
    """

    def __init__(self, level, **common):
        super().__init__(dtype=common["dtype"])
        self.body = Rows(level.discriminator, **common)
        self.latent_body = Rows(level.latent_discriminator, **common)

    def call(
        self,
        features: tf.Tensor,
        z: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the features, [B, h, w, c], of those below and z_l."""
        features = self.body(features, training=training, seed=random.fold(seed, 0))
        z = self.latent_body(as_maps(z), training=training, seed=random.fold(seed, 1))
        return tf.concat([features, tf.cast(z, features.dtype)], axis=-1)

    def initialize_from(self, features: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """As `Rows.initialize_from`."""
        features = self.body.initialize_from(features)
        z = self.latent_body.initialize_from(as_maps(z))
        return tf.concat([features, tf.cast(z, features.dtype)], axis=-1)
