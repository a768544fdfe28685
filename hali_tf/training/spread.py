"""Where the labels that spread come from: pixels, or what the encoder of a run sees."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from hali_tf import files
from hali_tf.config import Config
from hali_tf.data import Split, batches
from hali_tf.data.spreading import spread_labels
from hali_tf.errors import UserError
from hali_tf.models.generative import to_signed
from hali_tf.progress import progress_bar
from hali_tf.runs import reopening


def spread(config: Config, train: Split, labelled: np.ndarray) -> np.ndarray:
    """The label that spreads to each training image, as --label_spreading says.

    Args:
      config: of the run; --label_spreading is "pixels" or the folder of a run.
      train: The train split, with labels, of which only those at `labelled` are used.
      labelled: int64 [M], positions of the labelled images.

    Returns:
      int64 [N], -1 where no label comes to.

    Raises:
      UserError: the run cannot be read, has images of another size, or learned from other labels.
    """
    assert train.labels is not None
    points, folder = train.images, config.labels.spreading_run()
    if folder:
        _check_labels(folder, labelled)
        points = _top_maps(folder, train)
    return spread_labels(points, labelled, train.labels[labelled], config.labels.classes)


def _check_labels(folder, labelled):
    """Refuses a run that knows other labels: these would reach training by way of its encoder."""
    path = os.path.join(folder, "labelled.json")
    if files.read_json(path, labelled.tolist()) != labelled.tolist():
        raise UserError(
            f"--label_spreading={folder}: learned from other labelled images; expected a run with "
            "the same --seed, --labels_per_class and data, or one without labels"
        )


def _top_maps(folder, train):
    """What the encoder of a run computes last before the Gaussian of z_L, float32 [N, d]."""
    model = reopening.load_run(folder, flag="label_spreading")[1]
    if model.image_shape != train.images.shape[1:]:
        raise UserError(
            f"--label_spreading={folder}: takes images of {model.image_shape}; the data has "
            f"{train.images.shape[1:]}"
        )
    compute = tf.function(lambda images: _top_map(model, images))
    found = [compute(images).numpy() for images in progress_bar(batches(train), "encode")]
    return np.concatenate(found)


def _top_map(model, images):
    rows, _ = model.average.encoder.maps(to_signed(images))[-1]
    return tf.reshape(rows[-1], [tf.shape(images)[0], -1])
