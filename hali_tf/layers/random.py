"""Stateless random draws: all that is random in a step follows from explicit seeds.

A run resumed after a kill then equals one never killed, and the train step is one pure program.
The generator is named, so that graph mode and XLA, and one machine and another, draw alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_ALGORITHM = "philox"
# A multiple of the entries of a vector of every processor.
_VECTOR = 64


def fold(seed: Any, data: tf.Tensor | int) -> Any:
    """A new seed from `seed`, integers [2], and an integer: step, replica or purpose.

    None, which is for where nothing is drawn, stays None.
    """
    if seed is None:
        return None
    return tf.random.fold_in(seed, tf.cast(data, tf.int32), alg=_ALGORITHM)


def uniform(
    shape: Sequence[int], seed: tf.Tensor, low: float, high: float, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Uniform draws from `low` on and below `high`, of `shape` and `dtype`."""
    return tf.random.stateless_uniform(shape, seed, low, high, dtype, alg=_ALGORITHM)


def normal(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Standard normal float32 draws of `shape`, by Box and Muller from pairs of uniform ones.

    This takes half the time of `tf.random.stateless_normal`. Also, that function draws other floats
    with XLA than without; only the generator's integers agree, so the floats are made from these.
    """
    entries = tf.reduce_prod(shape)
    u, v = tf.split(_words(2 * ((entries + 1) // 2), seed), 2)
    return tf.reshape(tf.concat(_box_muller(u, v), axis=0)[:entries], shape)


def normal_rows(
    begin: tf.Tensor | int, rows: tf.Tensor | int, shape: Sequence[int], seed: tf.Tensor
) -> tf.Tensor:
    """Rows `begin`, ..., `begin` + `rows` - 1 of an endless table of standard normal draws.

    A row is the same to the bit whichever rows are asked for with it, so replicas and micro-batches
    draw their own parts of a global batch alone. The generator counts in blocks of four words; of a
    row the pairs of words fill whole blocks, and whole vectors of the processor, since the rest of
    a vector is computed by other instructions, whose last bits differ.

    Args:
      begin: int32, at least 0.
      rows: int32.
      shape: of a row.
      seed: integers [2].

    Returns:
      float32 [rows, *shape].
    """
    entries = math.prod(shape)
    width = -(-entries // (2 * _VECTOR)) * _VECTOR
    block = tf.cast(begin, tf.int64) * (width // 4)
    key, stream = tf.unstack(
        tf.random.stateless_uniform([2], seed, None, None, tf.int64, alg=_ALGORITHM)
    )
    u, v = (_words_from(block, key, stream + word, rows * width) for word in (0, 1))
    draws = tf.concat([tf.reshape(part, [rows, width]) for part in _box_muller(u, v)], axis=1)
    return tf.reshape(draws[:, :entries], [rows, *shape])


def _box_muller(u, v):
    """Two independent standard normal draws for each pair of words of 32 bits, int32."""
    u, v = (
        tf.cast(
            tf.bitwise.right_shift(tf.bitcast(words, tf.uint32), tf.constant(8, tf.uint32)),
            tf.float32,
        )
        for words in (u, v)
    )
    radius = tf.sqrt(-2 * tf.math.log((u + 1) * 2**-24))  # the logarithm's argument is in (0, 1]
    angle = v * (2 * math.pi * 2**-24)
    return radius * tf.cos(angle), radius * tf.sin(angle)


def _words_from(block, key, stream, count):
    """`count` words from a block of four on, of the generator's stream of a key: int32."""
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[count],
        key=tf.bitcast([key], tf.uint64),
        counter=tf.bitcast([block, stream], tf.uint64),
        alg=1,  # Philox
        dtype=tf.int32,
    )


def _words(count, seed):
    """`count` uniform draws of 32 bits, int32."""
    return tf.random.stateless_uniform(
        [count], seed, minval=None, maxval=None, dtype=tf.int32, alg=_ALGORITHM
    )


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """`x` with each entry zero with probability `rate`, the others scaled by 1 / (1 - rate).

    Four entries share one 32-bit draw, a byte each, so the probability is `rate` rounded to
    1/256; the scale follows the rounded one. A float draw for each entry took 4 times as long.
    """
    threshold = round(rate * 256)
    shape = tf.shape(x)
    entries = tf.reduce_prod(shape)
    words = _words((entries + 3) // 4, seed)
    draws = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:entries], shape)
    kept = tf.cast(draws >= threshold, x.dtype)
    return x * (kept * (256 / (256 - threshold)))
