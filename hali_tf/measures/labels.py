"""Errors of the encoder's own label y (paper, section 7.2)."""

from __future__ import annotations

import numpy as np

from hali_tf.data import Split, batches
from hali_tf.models.coder import Coder


def confusion(coder: Coder, classes: int, split: Split) -> np.ndarray:
    """How often the encoder takes one class for another, by the largest q(y | x).

    Args:
      coder: of a `SemiSupervisedHALI` or a `LabelledEncoder`.
      classes: K.
      split: with class numbers; images without one (-1) are not counted.

    Returns:
      int64 [K, K]: rows are the images' classes, columns what they are taken for.
    """
    tops = [coder.encode(images.numpy())[-1] for images in batches(split)]
    decisions = np.concatenate([top[:, -classes:].argmax(axis=1) for top in tops])
    labels = np.asarray(split.labels)
    known = labels >= 0
    cells = classes * labels[known] + decisions[known]
    counts = np.bincount(cells, minlength=classes**2)
    return counts.reshape(classes, classes)


def errors_of(counts: np.ndarray) -> int:
    """How many images of `confusion` are taken for another class."""
    return int(counts.sum() - np.trace(counts))


def count_errors(coder: Coder, classes: int, split: Split) -> dict[str, int]:
    """Images whose class the encoder mistakes, as "label_errors", of "label_images".

    A split without labels has no such numbers: the dict is empty.
    """
    if split.labels is None:
        return {}
    counts = confusion(coder, classes, split)
    return {"label_errors": errors_of(counts), "label_images": int(counts.sum())}


def sentence(per_class: int, errors: dict[str, int]) -> str:
    """The numbers of `count_errors` as a line for a person, with the number of labels."""
    return (
        f"  {per_class} labels per class    {errors['label_errors']} errors of "
        f"{errors['label_images']}"
    )
