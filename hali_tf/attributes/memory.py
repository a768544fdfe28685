"""Whether a classifier's training fits into the machine's memory, before anything is made."""

from __future__ import annotations

from typing import Any, NamedTuple

from hali_tf.architectures import ARCHITECTURES, cost
from hali_tf.attributes.classifier import BATCH
from hali_tf.config import ClassifierConfig
from hali_tf.training import memory

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # VGG16's filters and convolutions


class _Layer(NamedTuple):
    """`entries` of its output for one image; `copies` of them that the backward pass keeps."""

    trained: bool
    parameters: int
    entries: int
    copies: int = 1


def needed(
    config: ClassifierConfig,
    image_shape: tuple[int, int, int],
    encoder: dict[str, Any] | None = None,
) -> tuple[int, int]:
    """Bytes that a train step needs at least, and those of a pass over `BATCH` images.

    Args:
      config: with the precision decided.
      image_shape: (H, W, C).
      encoder: arguments of `EncoderTrunk`, or None for VGG16.
    """
    layers = _encoder(image_shape[-1], **encoder) if encoder else _vgg16(config, image_shape)
    trained = [layer for layer in layers if layer.trained]
    bytes_each = 4 if config.precision == "float32" else 2
    weights = 4 * sum(layer.parameters for layer in layers)
    # A gradient and two moments, in float32 as all weights.
    further = 3 * 4 * sum(layer.parameters for layer in trained)
    kept = sum(layer.copies * layer.entries for layer in trained)
    largest = max(one.entries + other.entries for one, other in zip(layers, layers[1:]))
    step = weights + further + bytes_each * config.batch_size * kept
    return step, weights + bytes_each * BATCH * largest


def check(
    config: ClassifierConfig,
    image_shape: tuple[int, int, int],
    encoder: dict[str, Any] | None = None,
) -> None:
    """Compares what is `needed` with what there is.

    Raises:
      UsageError: the batch or the images are too large for this machine.
    """
    step, measured = needed(config, image_shape, encoder)
    images = f"images of {image_shape[0]}x{image_shape[1]}"
    memory.require(
        step,
        f"--batch_size={config.batch_size} with {images}: a step",
        "lower the batch size, or take smaller images",
    )
    memory.require(measured, f"{images}: a pass over {BATCH} of them", "take smaller images")


def _vgg16(config, image_shape):
    """The layers of `VGG16`, in order."""
    (height, width, _), maps, layers = image_shape, 3, []
    for number, (filters, convolutions) in enumerate(_BLOCKS, start=1):
        trained = number > config.frozen_blocks
        for _ in range(convolutions):
            layers.append(_Layer(trained, filters * (9 * maps + 1), height * width * filters))
            maps = filters
        height, width = height // 2, width // 2
        layers.append(_Layer(trained, 0, height * width * filters))
    return layers


def _encoder(channels, architecture, width):
    """The layers of an `EncoderTrunk`, in order; a table's first one has all its parameters."""
    table = ARCHITECTURES[architecture].adapt(channels, width, dropout=False)
    return [
        _Layer(True, parameters if index == 0 else 0, output.entries, output.copies)
        for parameters, outputs in cost.of_networks(table)["encoder"]
        for index, output in enumerate(outputs)
    ]
