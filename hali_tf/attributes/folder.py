"""An attribute classifier's folder on disk.

FOLDER/
  classifier.json  what it is, the attributes' names, its thresholds, its accuracies; written last
  weights.npz      float32
  config.json      the flags
and a lock; until it is trained also checkpoints/, images.json (what tells the images of the first
start from others) and features.npy.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from hali_tf import files
from hali_tf.attributes.classifier import VGG16, AttributeClassifier, EncoderTrunk
from hali_tf.errors import UserError, in_one_line


def _weights(classifier):
    """All variables in the order of weights.npz: the trunk's trained, its others, the head's."""
    trunk, head = classifier.trunk, classifier.head
    return [*trunk.trainable_weights, *trunk.non_trainable_weights, *head.weights]


def save(folder: str, classifier: AttributeClassifier, card: dict[str, Any]) -> None:
    """Writes the weights and, last, classifier.json.

    Args:
      folder: an existing one.
      classifier: what is saved.
      card: further contents of classifier.json: "encoder", the arguments of its `EncoderTrunk` or
        None; "config", of its training; ...
    """
    with files.replacing(os.path.join(folder, "weights.npz")) as temporary:
        with open(temporary, "wb") as f:
            weights = enumerate(_weights(classifier))
            files.write_npz(f, {f"arr_{i}": variable.numpy() for i, variable in weights})
        files.write_through(temporary)  # before classifier.json says that it is there
    files.write_json(
        os.path.join(folder, "classifier.json"),
        {
            "attributes": list(classifier.names),
            "image_shape": list(classifier.image_shape),
            "thresholds": [float(t) for t in classifier.thresholds],
            **card,
        },
    )


def identity(folder: str) -> list | None:
    """[path, size, time of change] of a classifier; None where there is none."""
    path = os.path.join(folder, "classifier.json")
    return files.identity(path) if files.exists(path) else None


def card(folder: str) -> dict[str, Any]:
    """The contents of classifier.json.

    Raises:
      UserError: there is no such file, or it is not JSON.
    """
    path = os.path.join(folder, "classifier.json")
    try:
        with files.opened(path) as f:
            return json.load(f)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a trained attribute classifier ({error}); train one by "
            "python -m hali_tf.attributes --data=celeba --data_dir=DIR --out=DIR"
        ) from error


def load(folder: str) -> AttributeClassifier:
    """The `AttributeClassifier` of a folder, in float32.

    Raises:
      UserError: there is none, or it is damaged.
    """
    about = card(folder)
    path = os.path.join(folder, "weights.npz")
    try:
        shape = tuple(about["image_shape"])
        if about["encoder"]:
            trunk = EncoderTrunk(shape, **about["encoder"])
        else:  # as it was trained: it decides the order of the weights
            trunk = VGG16(shape, frozen_blocks=about["config"]["frozen_blocks"])
        classifier = AttributeClassifier(
            trunk,
            about["attributes"],
            shape,
            about["thresholds"],
            degraded=about["config"].get("degrade", not about["encoder"]),  # or no such flag
        )
        with files.opened(path, "rb") as file, np.load(file) as arrays:
            weights = _weights(classifier)
            if len(weights) != len(arrays.files):
                raise ValueError(f"{len(arrays.files)} arrays instead of {len(weights)}")
            for variable, name in zip(weights, arrays.files):
                variable.assign(arrays[name])
    except (*files.DAMAGE, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: damaged, or not of {folder}/classifier.json ({in_one_line(error)})"
        ) from error
    return classifier
