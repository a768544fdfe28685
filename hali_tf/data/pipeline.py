"""From a decoded split to batches: uint8 all the way, static shapes, no state to save.

Which images step s trains on is computed from (seed, s) alone, so a run that resumes at step s
sees what a run that never stopped would have seen, without the iterator being checkpointed.
"""

from __future__ import annotations

import functools
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from hali_tf.data.source import Split

_EVALUATED_PIXELS = 128 * 64 * 64  # at a time


class Share(NamedTuple):
    """Which part of every batch a process trains on, in pieces of one replica each.

    Attributes:
      first: The number of its first piece.
      pieces: How many pieces it has.
      of: How many pieces all processes have together.
    """

    first: int
    pieces: int
    of: int


WHOLE = Share(0, 1, 1)


def positions(count: int, batch_size: int, seed: int) -> Callable[[int], np.ndarray]:
    """Makes the function that says which images a step uses.

    Args:
      count: N, the number of images.
      batch_size: B, images per step; may be larger than N.
      seed: Any integer; other seeds give other orders.

    Returns:
      A function from a step (0-based) to int64 [B] positions in 0..N-1: elements s*B .. s*B+B-1
      of the endless concatenation of random permutations of 0..N-1, one per epoch.
    """

    # A batch spans two epochs at most, unless B > N; a few more for batches made in parallel.
    @functools.lru_cache(maxsize=4)
    def permutation(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed & 0xFFFFFFFFFFFFFFFF, epoch]).permutation(count)

    def positions_of(step: int) -> np.ndarray:
        place, stop, parts = step * batch_size, (step + 1) * batch_size, []
        while place < stop:
            epoch, offset = divmod(place, count)
            part = permutation(epoch)[offset : offset + stop - place]
            parts.append(part)
            place += len(part)
        return np.concatenate(parts)

    return positions_of


def train_batches(
    split: Split,
    batch_size: int,
    seed: int,
    first_step: int,
    last_step: int,
    labels: bool = False,
    share: Share = WHOLE,
    flip: bool = False,
) -> tf.data.Dataset:
    """Makes the batches of the steps first_step .. last_step - 1, or a share of each.

    Args:
      split: What to train on; at least one image.
      batch_size: B, images per step over all replicas; may be larger than the split.
      seed: Decides the order; see `positions`.
      first_step: The first step that the dataset yields (0 for a new run).
      last_step: One past the last step.
      labels: Whether to yield labels beside the images.
      share: Which part of each batch; no image outside of it is read.
      flip: Whether the mirror image of every image, left and right exchanged, is one of the
        split's images too, so that an epoch has 2N images.

    Returns:
      A dataset of last_step - first_step elements uint8 [B, H, W, C] in 0..255, or, with
      `labels`, of pairs of that and int64 [B] or uint8 [B, A]. Shapes are static. Of a share,
      every batch comes in its pieces [B / of, ...], one after the other.

    Raises:
      ValueError: If labels are asked of a split that has none.
    """
    arrays = [split.images]
    if labels:
        if split.labels is None:
            raise ValueError("labels=True, but the split has no labels")
        arrays.append(split.labels)
    positions_of = positions(len(split.images) * (2 if flip else 1), batch_size, seed)
    size = batch_size // share.of

    def of_piece(number: int) -> np.ndarray:
        step, piece = divmod(number, share.pieces)
        begin = (share.first + piece) * size
        return positions_of(step)[begin : begin + size]

    numbers = (first_step * share.pieces, last_step * share.pieces)
    return _gather(arrays, of_piece, *numbers, size)


def batches(split: Split) -> tf.data.Dataset:
    """Makes batches of a split in its own order, once, for evaluation.

    A batch has 128 images, and fewer of images larger than 64x64, so that to evaluate takes no more
    memory than to train in micro-batches; the last batch may be smaller.

    Args:
      split: Where the images come from.

    Returns:
      A dataset of uint8 [<=B, H, W, C], 0..255.
    """
    count, height, width, _ = split.images.shape
    batch_size = min(128, max(1, _EVALUATED_PIXELS // (height * width)))

    def positions_of(step: int) -> np.ndarray:
        return np.arange(step * batch_size, min((step + 1) * batch_size, count))

    return _gather([split.images], positions_of, 0, -(-count // batch_size), None)


def _gather(
    arrays: list[np.ndarray],
    positions_of: Callable[[int], np.ndarray],
    first_step: int,
    last_step: int,
    batch_size: int | None,
) -> tf.data.Dataset:
    """Yields, for each step, the rows of every array at the step's positions.

    The first array is of N images; positions N..2N-1 are their mirror images.
    """
    # Plain views: indexing through numpy's memmap class costs more than the copy itself.
    arrays = [np.asarray(array) for array in arrays]
    count = len(arrays[0])

    def rows_of(step):
        chosen = positions_of(int(step))
        # take() releases the interpreter lock, so that steps made in parallel wait for the disk
        # together.
        rows = [np.take(array, chosen % count, axis=0) for array in arrays]
        mirrored = chosen >= count
        rows[0][mirrored] = rows[0][mirrored, :, ::-1]
        return rows

    def element(step):
        rows = tf.numpy_function(rows_of, [step], [array.dtype for array in arrays])
        for array, part in zip(arrays, rows):
            part.set_shape((batch_size,) + array.shape[1:])
        return tuple(rows) if len(rows) > 1 else rows[0]

    dataset = tf.data.Dataset.range(first_step, last_step)
    dataset = dataset.map(element, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    # The thread that tunes waits by the system's clock. Where that is put back an hour, the end of
    # an iteration can wait for the thread that hour.
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
