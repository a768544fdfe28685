"""What --dry_run prints of a model: layers and parameters."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from hali_tf.layers.convolution import Dropout
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.levels import as_maps


def parameters(layer: keras.layers.Layer) -> int:
    """Number of trainable parameters."""
    return int(sum(np.prod(v.shape) for v in layer.trainable_variables))


def summary(model: Autoencoder) -> str:
    """The model as text: one line per layer with its output's shape and its parameters; totals."""
    lines = []
    for title, layers in _tables(model):
        lines.append(title)
        for layer, shape in layers:
            size = " x ".join(map(str, shape))
            lines.append(f"  {type(layer).__name__:<22}{size:<16}{parameters(layer):>12,}")
    totals = ", ".join(
        f"{name} {parameters(network):,}" for name, network in model.networks.items()
    )
    return "\n".join([*lines, f"parameters: {totals}"])


def _tables(model):
    """(title, layers) for each table of the model, in order.

    Layers are pairs of a layer and its output's shape without the batch.
    """
    x = tf.zeros([1, *model.image_shape])
    _, zs = model.encoder(x)
    tables, z = [], x
    for l, level in enumerate(model.encoder.levels, start=1):
        tables.append((f"encoder level {l}", _walk(level.body, z)))
        z = zs[l - 1]
    for l in range(model.num_levels, 0, -1):
        layers = _walk(model.decoder.levels[l - 1].body, zs[l - 1])
        tables.append((f"decoder level {l}", layers))
    if "discriminator" in model.networks:
        tables += _discriminator_tables(model.discriminator, x, zs)
    if "image_discriminator" in model.networks:
        tables.append(
            ("discriminator of images alone", _joint_layers(model.image_discriminator, x))
        )
    return tables


def _discriminator_tables(discriminator, x, zs):
    tables, features = [], x
    for l, (level, z) in enumerate(zip(discriminator.levels, zs), start=1):
        rows = _walk(level.body, features) + _walk(level.latent_body, z)
        tables.append((f"discriminator level {l}, before z_{l} is concatenated", rows))
        features = level(features, z)
    rows = _joint_layers(discriminator, features)
    return [*tables, ("discriminator, all levels together", rows)]


def _joint_layers(discriminator, features):
    joint = discriminator.joint
    return _walk(joint, features) + _walk(discriminator.logit, joint(features))


def _walk(rows, x):
    """[(layer, output shape without the batch)] of a `Rows`, for input x."""
    found, x = [], as_maps(x)
    for layer in rows.stack:
        if not isinstance(layer, Dropout):
            x = layer(x)
            shape = x.mean.shape if isinstance(x, tuple) else x.shape
            found.append((layer, tuple(shape[1:])))
    return found
