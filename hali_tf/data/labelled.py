"""The few labels of a semi-supervised run: which images have one, and batches of these."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from hali_tf.data.pipeline import WHOLE, Share, train_batches
from hali_tf.data.source import Source, Split
from hali_tf.errors import UserError
from hali_tf.layers import random


def count_classes(source: Source) -> int:
    """Returns K, the classes of a set, of which each image has one.

    Raises:
      UserError: If the images of the set have no class.
    """
    if source.multi_label:
        raise UserError(
            f"--labels_per_class with --data={source.name}: it has attributes and no "
            "classes; expected one class per image"
        )
    if source.label_names is not None:
        return len(source.label_names)
    train = source.load("train").labels
    if train is None:
        raise UserError(
            f"--labels_per_class with --data={source.name}: it has no labels; expected "
            "one class per image"
        )
    # A split that was cut from the training images may have all those of the last class.
    others = [source.load(split).labels for split in ("validation", "test")]
    return 1 + max(int(labels.max()) for labels in (train, *others) if labels is not None)


def learned_names(source: Source, classes: int) -> tuple[str, ...]:
    """The names of the K `classes` that a run learned, whose data may have been changed since.

    Raises:
      UserError: If the set has another number of classes now.
    """
    names = source.class_names(classes)
    if len(names) != classes:
        raise UserError(
            f"--data={source.name}: has {len(names)} classes, and the run learned {classes}; name "
            "the data that it was trained on by --data_dir"
        )
    return names


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
                "training images; expected at least so many of each class"
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
    share: Share = WHOLE,
    flip: bool = False,
    spread: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Makes the batches of a semi-supervised run: images without labels, and as many with.

    Args:
      train: The train split, with labels, of which only those at `labelled` are used.
      labelled: int64, positions of the labelled images, which are among the unlabelled ones too.
      batch_size: B; as the next three, see `train_batches`.
      seed: Decides the order and the moves.
      first_step: The first step that the dataset yields.
      last_step: One past the last step.
      shift: How far the second and third of what is returned are shifted; see `moved`.
      warp: How far they are warped.
      share: Which part of each batch, in pieces; as the next, see `train_batches`.
      flip: Whether mirror images are among the images.
      spread: int64 [N], labels that spread to the images; see `spreading.spread_labels`.

    Returns:
      A dataset of uint8 [B, H, W, C] (images without labels), the same images moved, as many
      images with labels, moved, their labels, int64 [B], and the labels that spread to the first
      images, int64 [B], -1 for none.
    """
    assert train.labels is not None  # see draw_labelled
    every = Split(train.images, np.full(len(train.images), -1) if spread is None else spread)
    few = Split(train.images[labelled], train.labels[labelled])
    steps, size = (batch_size, seed, first_step, last_step), batch_size // share.of

    def element(number, all_images, few_images):
        (images, spread), (labelled_images, labels) = all_images, few_images
        step, piece = number // share.pieces, number % share.pieces
        own = (share.first + piece) * size + tf.range(size, dtype=tf.int64)
        draws = (2 * batch_size, tf.concat([own, batch_size + own], 0))
        both = tf.concat([images, labelled_images], 0)
        both = moved(both, shift, warp, tf.stack([seed, step]), draws)
        return (images, *tf.split(both, 2), labels, spread)

    numbers = tf.data.Dataset.range(first_step * share.pieces, last_step * share.pieces)
    parts = [train_batches(s, *steps, labels=True, share=share, flip=flip) for s in (every, few)]
    return tf.data.Dataset.zip((numbers, *parts)).map(element).prefetch(tf.data.AUTOTUNE)


def moved(
    images: tf.Tensor,
    shift: int,
    warp: float,
    seed: tf.Tensor,
    draws: tuple[int, tf.Tensor] | None = None,
) -> tf.Tensor:
    """Shifts each image, and turns, scales and slants it around its centre, by draws of its own.

    The pixel at r from the centre is taken from A r + d, bilinearly, and from the border where that
    lies outside.

    Args:
      images: uint8 [B, H, W, C].
      shift: Pixels; d is whole, from -shift..shift in both directions.
      warp: The entries of A are those of the unit matrix plus draws from -warp..warp.
      seed: Integers [2].
      draws: Number of images that draws are made for, and the places of `images` among them, int64
        [B]; None: they are made for `images` alone.
    """
    if not (shift or warp):
        return images
    batch, height, width, _ = images.shape
    count, places = draws or (batch, tf.range(batch))
    d = random.uniform([count, 2], random.fold(seed, 0), -shift, shift + 1, tf.int32)
    a = tf.eye(2) + random.uniform([count, 2, 2], random.fold(seed, 1), -warp, warp)
    d, a = tf.gather(d, places), tf.gather(a, places)
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
