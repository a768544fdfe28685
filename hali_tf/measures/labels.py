"""Errors of the encoder's own label y (paper, section 7.2)."""

import numpy as np
import tensorflow as tf

from hali_tf.data import batches


def confusion(model, split, batch_size=128):
    """How often the encoder takes which class for which, by the largest q(y | x).

    Args:
      model: `SemiSupervisedHALI` or `LabelledEncoder`; its averages are asked.
      split: `Split` with class numbers.
      batch_size: images at a time.

    Returns:
      int64 [K, K]: rows are the images' classes, columns what they are taken for.
    """
    scores = tf.function(
        lambda images: model.encode(images)[-1].probabilities, reduce_retracing=True
    )
    taken = np.concatenate([scores(b).numpy().argmax(axis=1) for b in batches(split, batch_size)])
    classes = model.architecture.classes
    return np.bincount(classes * split.labels + taken, minlength=classes**2).reshape(
        classes, classes
    )


def count_errors(model, split):
    """Images of a split whose class the encoder misses: {"label_errors": ..., "label_images": N}."""
    counts = confusion(model, split)
    return {"label_errors": int(counts.sum() - np.trace(counts)), "label_images": int(counts.sum())}


def sentence(config, errors):
    """The numbers of `count_errors` as a line for a person."""
    return (
        f"  {config.labels.per_class} labels a class    {errors['label_errors']} errors of "
        f"{errors['label_images']}"
    )
