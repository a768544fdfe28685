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
        raise UserError(f"--labels_per_class with --data={source.name}: it has attributes and no "
                        "classes; expected one class an image")
    if source.label_names is not None:
        return len(source.label_names)
    labels = source.load("train").labels
    if labels is None:
        raise UserError(f"--labels_per_class with --data={source.name}: it has no labels; expected "
                        "one class an image")
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
            raise UserError(f"--labels_per_class={per_class}: class {number} has {len(of_class)} "
                            "training images; lower it")
        drawn.append(generator.permutation(of_class)[:per_class])
    return np.concatenate(drawn)


def semi_supervised_batches(train: Split, labelled: np.ndarray, batch_size: int, seed: int,
                            first_step: int, last_step: int, shift: int = 0) -> tf.data.Dataset:
    """Makes the batches of a semi-supervised run: images without labels, and as many with.

    Args:
        train: The train split. Of its labels only those at `labelled` are used.
        labelled: int64, positions of the images with a label, who are among the others too.
        batch_size, seed, first_step, last_step: As for `train_batches`.
        shift: Labelled images are moved by up to so many pixels, as `shifted` does.

    Returns:
        A dataset of (uint8 [B, H, W, C], uint8 [B, H, W, C], int64 [B]).
    """
    few = Split(train.images[labelled], train.labels[labelled])
    steps = (batch_size, seed, first_step, last_step)

    def element(step, images, with_label):
        labelled_images, labels = with_label
        return images, shifted(labelled_images, shift, tf.stack([seed, step])), labels

    parts = (
        tf.data.Dataset.range(first_step, last_step),
        train_batches(train, *steps),
        train_batches(few, *steps, labels=True),
    )
    return tf.data.Dataset.zip(parts).map(element).prefetch(tf.data.AUTOTUNE)


def shifted(images: tf.Tensor, pixels: int, seed: tf.Tensor) -> tf.Tensor:
    """Moves each image by its own draw from -pixels..pixels, down and to the right.

    Args:
        images: [B, H, W, C]; pixels at the border are repeated.
        pixels: The most that an image is moved, in both directions.
        seed: Integers [2].
    """
    if not pixels:
        return images
    batch, height, width, _ = images.shape
    offsets = tf.random.stateless_uniform([2, batch, 1], seed, -pixels, pixels + 1, tf.int32)
    rows = tf.clip_by_value(tf.range(height) - offsets[0], 0, height - 1)
    columns = tf.clip_by_value(tf.range(width) - offsets[1], 0, width - 1)
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
