"""MNIST with 100 labels, and its like (paper, section 7.2, Table 3): errors of the model's own y."""

import numpy as np
import tensorflow as tf

from hali_tf.data import batches


def confusion(model, split, batch_size=128):
    """How often the encoder takes each class for which, by the largest q(y | x).

    Args:
      model: `SemiSupervisedHALI`.
      split: `Split` with class numbers.
      batch_size: images at a time.

    Returns:
      int64 [K, K], the class of the image in rows, what it was taken for in columns.
    """
    scores = tf.function(model.label_scores, reduce_retracing=True)
    taken = np.concatenate([scores(b).numpy().argmax(axis=1) for b in batches(split, batch_size)])
    classes = model.architecture.classes
    return np.bincount(classes * split.labels + taken, minlength=classes**2).reshape(classes, classes)


def count_errors(model, split):
    """Images of a split whose class the encoder misses: {"label_errors": ..., "label_images": N}."""
    counts = confusion(model, split)
    return {"label_errors": int(counts.sum() - np.trace(counts)), "label_images": int(counts.sum())}


def sentence(config, errors):
    """The numbers of `count_errors` as a line for a person."""
    return (
        f"  {config.labels_per_class} labels a class: {errors['label_errors']} errors of "
        f"{errors['label_images']} test images"
    )
