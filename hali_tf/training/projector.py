"""The top latents for TensorBoard's projector, with thumbnails and labels."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from google.protobuf import text_format
from tensorboard.plugins import projector

from hali_tf.data import Split, batches
from hali_tf.drawing import grids
from hali_tf.files import make_folder, write_text
from hali_tf.models.autoencoder import Autoencoder

_POINTS = 1000


def write(folder: str, model: Autoencoder, split: Split, label_names: Sequence[str] | None) -> None:
    """Writes latents, labels, a sprite of thumbnails and the projector's configuration.

    Args:
      folder: of the logs.
      model: `Autoencoder`.
      split: `Split`; at most 1,000 of its images are shown.
      label_names: of the split's labels, or None.
    """
    split = split.part(_POINTS)
    latents = np.concatenate([model.encode(x)[-1].mean for x in batches(split)])
    latents = latents.reshape(len(latents), -1)
    make_folder(folder)
    write_text(os.path.join(folder, "latents.tsv"), _table(latents, "%.5g"))
    sprite = grids.grid(split.images, math.ceil(math.sqrt(len(split.images))), gap=0)
    grids.save_png(os.path.join(folder, "sprite.png"), sprite, smallest=1)
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add(
        tensor_name=f"z_{model.num_levels}", tensor_path="latents.tsv"
    )
    embedding.sprite.image_path = "sprite.png"
    embedding.sprite.single_image_dim.extend(split.images.shape[2:0:-1])
    if split.labels is not None:
        embedding.metadata_path = "labels.tsv"
        text = _labels(split.labels, label_names)
        write_text(os.path.join(folder, "labels.tsv"), text)
    text = text_format.MessageToString(config)
    write_text(os.path.join(folder, "projector_config.pbtxt"), text)


def _table(rows, form):
    return "".join("\t".join(form % value for value in row) + "\n" for row in rows)


def _labels(labels, names):
    """One column without a head for class numbers, one with a head for each attribute."""
    if labels.ndim == 1:
        return "".join(f"{names[l] if names and l >= 0 else l}\n" for l in labels)
    return "\t".join(names) + "\n" + _table(labels, "%d")
