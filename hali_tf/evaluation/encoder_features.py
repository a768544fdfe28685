"""The features of an encoder that linear classifiers read (paper, section 7.1).

  z_1, z_2    the mean of q(z_l | z_{l-1}), feature maps averaged over a grid of 8x8; both together
  maps        the output of every row of the encoder below the Gaussians, averaged over the image

Of grids of 4x4, 8x8 and 16x16 the finer was the better on faces of 64x64 (72.3, 74.9 and 76.4 % on
held-out validation images); 16x16 of the paper's 64 maps would be 16,384 features.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from hali_tf.data import Split
from hali_tf.evaluation.subjects import Subject
from hali_tf.models.generative import to_signed
from hali_tf.progress import progress_bar

GRID = 8
_BATCH = 128


def together(subject: Subject) -> str:
    """Label of the means of all levels."""
    labels = [label for label, _ in subject.levels()]
    levels = ", ".join(f"z_{l}" for l in range(1, len(labels) + 1))
    return labels[0] if len(labels) == 1 else f"{subject.name} {levels}"


def size(encode: Callable, images: np.ndarray) -> int:
    """Number of the features of all levels together, by the first of the images."""
    return sum(mean.shape[1] for mean in encode(np.asarray(images[:1]))[0])


def encoder(model: keras.Model) -> Callable:
    """A function of uint8 images to the pooled means of all levels and the pooled rows of all."""

    @tf.function(reduce_retracing=True)
    def encode(images):
        levels = model.average.encoder.maps(to_signed(images))
        maps = [pool(row, 1) for rows, _ in levels for row in rows]
        return [pool(mean, GRID) for _, mean in levels], tf.concat(maps, axis=1)

    return encode


def of_split(subject: Subject, encode: Callable, split: Split) -> dict[str, np.ndarray]:
    """Label to features of all images of a split, float32 [N, F]; `encode` is of `encoder`."""
    means, maps = [], []
    starts = range(0, len(split.images), _BATCH)
    for start in progress_bar(starts, f"encode with {subject.name}"):
        means_of_batch, maps_of_batch = encode(np.asarray(split.images[start : start + _BATCH]))
        means.append([level.numpy() for level in means_of_batch])
        maps.append(maps_of_batch.numpy())
    zs = [np.concatenate(level) for level in zip(*means)]
    found = {label: zs[level - 1] for label, level in subject.levels()}
    found[together(subject)] = np.concatenate(zs, axis=1)  # the same, where there is one level
    found[f"{subject.name} maps"] = np.concatenate(maps)
    return found


def pool(maps: tf.Tensor, side: int) -> tf.Tensor:
    """Feature maps [B, h, w, c] averaged over a grid of at most side x side: float32 [B, F]."""
    factors = [-(-size // side) for size in maps.shape[1:3]]
    maps = tf.nn.avg_pool2d(tf.cast(maps, tf.float32), factors, factors, "SAME")
    return tf.reshape(maps, [-1, int(np.prod(maps.shape[1:]))])
