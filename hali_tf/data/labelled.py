"""The few labels of a semi-supervised run: which images have one, and batches of these."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from hali_tf.data.pipeline import train_batches
from hali_tf.data.source import Source, Split
from hali_tf.errors import UserError


def count_classes(source: Source) -> int:
    """Returns K, the classes of a set, of which each image has one.

    Raises:
      UserError: If the images of the set have no class.
    """
    if source.multi_label:
        raise UserError(
            f"--labels_per_class with --data={source.name}: it has attributes and no "
            "classes; expected one class an image"
        )
    if source.label_names is not None:
        return len(source.label_names)
    labels = source.load("train").labels
    if labels is None:
        raise UserError(
            f"--labels_per_class with --data={source.name}: it has no labels; expected "
            "one class an image"
        )
    return int(labels.max()) + 1


def draw_labelled(labels: np.ndarray, classes: int, per_class: int, seed: int) -> np.ndarray:
    """Draws the images whose labels a run may see.

    Args:
      labels: int64 [N], those of the train split.
      classes: K.
      per_class: n, how many of each class.
      seed: Of the run; other seeds draw others.

    Returns:
      int64 [K * n], positions in 0..N-1, in order of class.

    Raises:
      UserError: If a class has fewer images.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for number in range(classes):
        of_class = np.flatnonzero(labels == number)
        if len(of_class) < per_class:
            raise UserError(
                f"--labels_per_class={per_class}: class {number} has {len(of_class)} "
                "training images; lower it"
            )
        drawn.append(generator.permutation(of_class)[:per_class])
    return np.concatenate(drawn)


def semi_supervised_batches(
    train: Split,
    labelled: np.ndarray,
    batch_size: int,
    seed: int,
    first_step: int,
    last_step: int,
    shift: int = 0,
    warp: float = 0.0,
) -> tf.data.Dataset:
    """Makes the batches of a semi-supervised run: images without labels, and as many with.

    Args:
      train: The train split, with labels, of which only those at `labelled` are used.
      labelled: int64, positions of the images with a label, who are among the others too.
      batch_size: B; as the next three, see `train_batches`.
      seed: Decides the order and the moves.
      first_step: The first step that the dataset yields.
      last_step: One past the last step.
      shift: How far the second and third of what is returned are shifted; see `moved`.
      warp: How far they are warped.

    Returns:
      A dataset of uint8 [B, H, W, C] (images without labels), the same images moved, as many
      images with labels, moved, and their labels, int64 [B].
    """
    assert train.labels is not None  # see draw_labelled
    few = Split(train.images[labelled], train.labels[labelled])
    steps = (batch_size, seed, first_step, last_step)

    def element(step, images, with_label):
        labelled_images, labels = with_label
        both = moved(tf.concat([images, labelled_images], 0), shift, warp, tf.stack([seed, step]))
        return (images, *tf.split(both, 2), labels)

    parts = (
        tf.data.Dataset.range(first_step, last_step),
        train_batches(train, *steps),
        train_batches(few, *steps, labels=True),
    )
    return tf.data.Dataset.zip(parts).map(element).prefetch(tf.data.AUTOTUNE)


def moved(images: tf.Tensor, shift: int, warp: float, seed: tf.Tensor) -> tf.Tensor:
    """Shifts each image, and turns, scales and slants it around its centre, by draws of its own.

    The pixel at r from the centre is taken from A r + d, bilinearly, and from the border where that
    lies outside.

    Args:
      images: uint8 [B, H, W, C].
      shift: Pixels; d is whole, from -shift..shift in both directions.
      warp: The entries of A are those of the unit matrix plus draws from -warp..warp.
      seed: Integers [2].
    """
    if not (shift or warp):
        return images
    batch, height, width, _ = images.shape
    d = tf.random.stateless_uniform([batch, 2], seed, -shift, shift + 1, tf.int32)
    a = tf.eye(2) + tf.random.stateless_uniform([batch, 2, 2], seed, -warp, warp)
    centre = tf.constant([width - 1, height - 1], tf.float32) / 2
    offset = centre - tf.linalg.matvec(a, centre) + tf.cast(d, tf.float32)
    rows = tf.reshape(tf.concat([a, offset[:, :, None]], axis=2), [batch, 6])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.pad(rows, [[0, 0], [0, 2]]),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
