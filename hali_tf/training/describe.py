"""What --dry_run prints: layers, parameters and memory."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from hali_tf.architectures import cost
from hali_tf.layers.convolution import ConvBlock, Dropout, ResidualBlock, Upsample
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.levels import as_maps

# Tensors that the backward pass finds kept, for each output of a layer: a convolution's own
# output, the normalised one, the activated one.
_KEPT = {ConvBlock: 3, ResidualBlock: 6}


def parameters(layer: keras.layers.Layer) -> int:
    """Number of trainable parameters."""
    return int(sum(np.prod(v.shape) for v in layer.trainable_variables))


def summary(model: Autoencoder) -> str:
    """The model as text: a line a layer with its output's shape and its parameters; totals."""
    lines = []
    for title, _, layers in _tables(model):
        lines.append(title)
        for layer, shape in layers:
            size = " x ".join(map(str, shape))
            lines.append(f"  {type(layer).__name__:<22}{size:<16}{parameters(layer):>12,}")
    totals = ", ".join(
        f"{name} {parameters(network):,}" for name, network in model.networks.items()
    )
    return "\n".join([*lines, f"parameters: {totals}"])


def memory_estimate(
    model: Autoencoder, batch_size: int, accumulate: int = 1, remat: bool = False
) -> int:
    """Bytes that a train step needs, roughly: what no compiler could do without.

    Weights, gradients and two moments of each, averages, all in float32; and each activation that
    the backward pass looks at, in the model's precision, for all examples that go through a layer.
    With micro-batches, the activations of one, and the sum of the gradients beside their own. With
    `remat`, the inputs of blocks of layers, and what is inside of the largest block.
    """
    weights = {name: parameters(network) for name, network in model.networks.items()}
    copies = 4 + (accumulate > 1)
    stored = copies * sum(weights.values()) + weights["encoder"] + weights["decoder"]
    tables = [
        (examples, [_output(*layer) for layer in layers]) for _, examples, layers in _tables(model)
    ]
    activations = cost.activations(tables, remat)
    size = tf.as_dtype(model.encoder.compute_dtype).size
    return int(4 * stored + size * batch_size / accumulate * activations)


def _output(layer, shape):
    copies = _KEPT.get(type(layer), 1)
    return cost.Output(copies, int(np.prod(shape)), isinstance(layer, Upsample))


def _tables(model):
    """(title, examples for each image, layers) for each table of the model, in order.

    Layers are pairs of a layer and its output's shape without the batch.
    """
    x = tf.zeros([1, *model.image_shape])
    _, zs = model.encoder(x)
    tables, z = [], x
    for l, level in enumerate(model.encoder.levels, start=1):
        tables.append((f"encoder level {l}", 1, _walk(level.body, z)))
        z = zs[l - 1]
    for l in range(model.num_levels, 0, -1):
        examples = 1 + sum(model.hybrid_joints[l - 1 :])  # p's, and those that start here or above
        layers = _walk(model.decoder.levels[l - 1].body, zs[l - 1])
        tables.append((f"decoder level {l}", examples, layers))
    if "discriminator" in model.networks:
        examples = 2 + sum(model.hybrid_joints)
        tables += [
            (title, examples, layers)
            for title, layers in _discriminator_tables(model.discriminator, x, zs)
        ]
    return tables


def _discriminator_tables(discriminator, x, zs):
    tables, features = [], x
    for l, (level, z) in enumerate(zip(discriminator.levels, zs), start=1):
        rows = _walk(level.body, features) + _walk(level.latent_body, z)
        tables.append((f"discriminator level {l}, before z_{l} is concatenated", rows))
        features = level(features, z)
    joint = discriminator.joint
    rows = _walk(joint, features) + _walk(discriminator.logit, joint(features))
    return [*tables, ("discriminator, all levels together", rows)]


def _walk(rows, x):
    """[(layer, output shape without the batch)] of a `Rows`, for input x."""
    found, x = [], as_maps(x)
    for layer in rows.stack:
        if not isinstance(layer, Dropout):
            x = layer(x)
            shape = x.mean.shape if isinstance(x, tuple) else x.shape
            found.append((layer, tuple(shape[1:])))
    return found
