"""Rematerialisation: the backward pass computes activations again instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def rematerialised(
    function: Callable[[tf.Tensor], Any], x: tf.Tensor, statistics: Sequence[tf.Variable]
) -> Any:
    """`function(x)`, of which the backward pass finds x alone and computes the rest once more.

    Second derivatives are right as well, but need as much memory as without rematerialisation.

    Args:
      function: takes one tensor; equal each time, as explicit seeds make it.
      x: float [B, ...].
      statistics: variables that it records; the second time leaves them as they are.
    """

    @tf.custom_gradient
    def run(x):
        result = function(x)

        def gradient(*upstream, variables=()):
            before = [tf.identity(variable) for variable in statistics]
            with tf.GradientTape() as tape:
                with tf.control_dependencies(upstream):  # else it would be computed at once
                    again = tf.identity(x)
                tape.watch([again, *variables])
                repeated = tf.nest.flatten(function(again))
            for variable, value in zip(statistics, before):
                variable.assign(value)
            of_x, *of_variables = tape.gradient(
                repeated, [again, *variables], upstream, unconnected_gradients="zero"
            )
            return (of_x, of_variables) if variables else of_x

        return result, gradient

    return run(x)
