"""Stateless random draws: all that is random in a step follows from explicit seeds.

A run resumed after a kill then equals one never killed, and the train step is one pure program.
The generator is named, so that graph mode and XLA, and one machine and another, draw alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

_ALGORITHM = "philox"


def fold(seed: tf.Tensor | list[int], data: tf.Tensor | int) -> tf.Tensor:
    """A new seed from `seed`, int32 [2], and an integer: step, replica or purpose."""
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
    pairs = tf.bitcast(_words(2 * ((entries + 1) // 2), seed), tf.uint32)
    u, v = tf.split(
        tf.cast(tf.bitwise.right_shift(pairs, tf.constant(8, tf.uint32)), tf.float32), 2
    )
    radius = tf.sqrt(-2 * tf.math.log((u + 1) * 2**-24))  # the logarithm's argument is in (0, 1]
    angle = v * (2 * math.pi * 2**-24)
    draws = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=0)
    return tf.reshape(draws[:entries], shape)


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
