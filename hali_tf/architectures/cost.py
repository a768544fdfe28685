"""What training with an architecture needs, computed from its tables, before any layer is made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hali_tf.architectures.rows import (
    Architecture,
    Conv,
    ConvTranspose,
    Image,
    LabelledGaussian,
    Logit,
    Residual,
    Table,
    Upsample,
)

# Tensors that are kept for the backward pass, for each output of a layer: a convolution's own
# output, the normalised one, the activated one.
_CONVOLUTION, _RESIDUAL = 3, 6


class Output(NamedTuple):
    """What comes out of one layer.

    Attributes:
      copies: how many tensors of its size are kept for the backward pass.
      entries: numbers in one such tensor, for one example.
      upsampled: whether it is the output of an upsampling, which `--remat` does not keep.
    """

    copies: int
    entries: int
    upsampled: bool


def parameters(architecture: Architecture) -> dict[str, int]:
    """The trainable parameters of "encoder", "decoder" and "discriminator"."""
    return {
        name: sum(walk[0] for walk in walks) for name, walks in of_networks(architecture).items()
    }


def memory(
    architecture: Architecture,
    batch_size: int,
    bytes_each: int = 4,
    networks: Sequence[str] = ("encoder", "decoder", "discriminator"),
    hybrid_joints: Sequence[float] = (),
    encoder_passes: int = 1,
    image_discriminator: bool = False,
    accumulate: int = 1,
    remat: bool = False,
) -> int:
    """A lower bound on the bytes that a train step needs.

    Weights, gradients and two moments of each, averages, all in float32; and each activation that
    the backward pass looks at, for all examples that go through a layer.

    Args:
      architecture: the tables of all networks.
      batch_size: images per step.
      bytes_each: of an activation.
      networks: those that are trained, of "encoder", "decoder" and "discriminator", which sees both
        sides' examples.
      hybrid_joints: shares of h_1, ..., h_L in the batch, whose examples are the decoder's as well.
      encoder_passes: how many batches go through the encoder: those of the game, labelled,
        moved and generated images.
      image_discriminator: whether there is another one of the same examples' images alone.
      accumulate: micro-batches per step. Only one at a time has activations, and the sum of the
        gradients so far is kept beside its gradients.
      remat: as of `activations`.
    """
    weights = 0
    found: list[tuple[float, list[Output]]] = []
    walks_of = of_networks(architecture)
    if image_discriminator:
        walks_of["discriminator"] += of_networks(architecture.of_images_alone())["discriminator"]
    for name in networks:
        for index, (_, outputs) in enumerate(walks_of[name]):
            examples = {
                "encoder": encoder_passes,
                "decoder": 1 + sum(hybrid_joints[index:]),
                "discriminator": 2 + sum(hybrid_joints),
            }
            found.append((examples[name], outputs))
        copies = 4 + (name != "discriminator") + (accumulate > 1)
        weights += copies * sum(walk[0] for walk in walks_of[name])
    entries = math.ceil(batch_size / accumulate) * activations(found, remat)
    return 4 * weights + bytes_each * int(entries)


def activations(walks: Iterable[tuple[float, Iterable[Output]]], remat: bool) -> float:
    """Entries that the backward pass looks at for an image.

    Args:
      walks: pairs of examples for each image, and the outputs of a table's layers in order.
      remat: whether what is inside a block of layers (`models.levels`) is there for one block at a
        time.
    """
    kept, largest = 0.0, 0.0
    for examples, outputs in walks:
        block = 0.0
        for copies, entries, upsampled in outputs:
            block += examples * copies * entries
            if remat and not upsampled:
                kept, largest, block = kept + examples * entries, max(largest, block), 0.0
        kept += block
    return kept + largest


def of_networks(architecture: Architecture) -> dict[str, list[tuple[int, list[Output]]]]:
    """(parameters, outputs) of each `Table` of "encoder", "decoder" and "discriminator"."""
    shapes = [architecture.image, *(level.latent for level in architecture.levels)]
    walks: dict[str, list[tuple[int, list[Output]]]] = {
        name: [] for name in ("encoder", "decoder", "discriminator")
    }
    features = _maps(architecture.image)
    for level, below in zip(architecture.levels, shapes):
        latent = _maps(level.latent)
        walks["encoder"].append(_walk(level.encoder, _maps(below), level.latent[-1])[:2])
        walks["decoder"].append(_walk(level.decoder, latent, below[-1])[:2])
        of_features = _walk(level.discriminator, features, 0)
        of_latent = _walk(level.latent_discriminator, latent, 0)
        walks["discriminator"] += [of_features[:2], of_latent[:2]]
        (side, maps), (_, more) = of_features[2], of_latent[2]
        features = (side, maps + more)
    walks["discriminator"].append(_walk(architecture.joint, features, 0)[:2])
    return walks


def _maps(shape):
    """(side, channels) of feature maps or of a vector."""
    return (1, shape[0]) if len(shape) == 1 else (shape[0], shape[-1])


def _walk(
    rows: Table, start: tuple[int, int], channels: int
) -> tuple[int, list[Output], tuple[int, int]]:
    """(parameters, outputs, (side, channels) of what comes out) of rows.

    Args:
      rows: of a table.
      start: side and channels of what goes in.
      channels: what a Gaussian or an Image projects to.
    """
    (side, maps), weights = start, 0
    outputs: list[Output] = []
    for row in rows:
        before, copies = maps, 1
        if isinstance(row, Conv):
            same = row.padding == "same"
            side = math.ceil((side if same else side - row.kernel + 1) / row.strides)
            filters = row.features * (2 if row.activation == "maxout" else 1)
            # A bias; the scale and the shift of a normalisation.
            weights += filters * (row.kernel**2 * before + (1 if row.norm is None else 2))
            maps, copies = row.features, _CONVOLUTION
        elif isinstance(row, ConvTranspose):
            side = (side - 1) * row.strides + row.kernel
            weights += row.features * (row.kernel**2 * before + 2)
            maps, copies = row.features, _CONVOLUTION
        elif isinstance(row, Residual):
            weights, copies = weights + 2 * (9 * maps**2 + 2 * maps), _RESIDUAL
        elif isinstance(row, Upsample):
            side *= 2
        elif isinstance(row, Image):
            weights += row.block**2 * channels * (row.kernel**2 * before + 1)
            side, maps = row.block * side, channels
            copies = _CONVOLUTION + (row.block > 1)  # the squares of pixels
        elif isinstance(row, Logit):
            weights, maps = weights + before + 1, 1
        else:
            of_label = row.classes if isinstance(row, LabelledGaussian) else 0
            weights += (2 * (channels - of_label) + of_label) * (before + 1)
            maps = channels
        outputs.append(Output(copies, side**2 * maps, isinstance(row, Upsample)))
    return weights, outputs, (side, maps)
