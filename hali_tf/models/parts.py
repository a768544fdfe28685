"""A batch in parts: those of replicas, and micro-batches, of which one at a time needs memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def mean_of_parts(
    function: Callable[[Any, tf.Tensor], Any],
    batch: Any,
    parts: int,
    statistics: Sequence[tf.Variable],
    like: Any,
) -> Any:
    """The mean of what `function` gives for each part of a batch, as replicas would give it.

    Each part finds `statistics` as they were, and afterwards they are the mean of what the parts
    left: N parts on one device record what N devices do.

    Args:
      function: takes a part of the batch and its number, int32; returns a structure of tensors.
      batch: a structure of tensors [B, ...], B a multiple of `parts`.
      parts: how many.
      statistics: variables that `function` records.
      like: structure of tensors or variables, of shapes and dtypes that `function` returns.
    """
    pieces = tf.nest.map_structure(lambda t: tf.reshape(t, [parts, -1, *t.shape[1:]]), batch)
    before = [tf.identity(variable) for variable in statistics]

    def add(number, sums):
        _assign(statistics, before)
        result = function(tf.nest.map_structure(lambda piece: piece[number], pieces), number)
        after = [tf.identity(variable) for variable in statistics]
        return number + 1, tf.nest.map_structure(tf.add, sums, (result, after))

    zeros = tf.nest.map_structure(tf.zeros_like, (like, before))
    _, sums = tf.while_loop(
        lambda number, _: number < parts, add, (tf.constant(0), zeros), parallel_iterations=1
    )
    mean, after = tf.nest.map_structure(lambda total: total / parts, sums)
    _assign(statistics, after)
    return mean


def share_statistics(
    statistics: Sequence[tf.Variable], context: tf.distribute.ReplicaContext
) -> None:
    """Makes the moving statistics those of all replicas, as a checkpoint holds them.

    Each replica recorded its own; a run resumed from their mean would not equal one that was never
    stopped.
    """
    values = [tf.identity(variable) for variable in statistics]  # variables cannot be reduced
    _assign(statistics, context.all_reduce(tf.distribute.ReduceOp.MEAN, values))


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)
