"""Loss scaling for mixed_float16: the one place where Keras 2 and Keras 3 would differ."""

from __future__ import annotations

import keras
import tensorflow as tf


def scale(optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
    """Factor for the loss before it is differentiated, float32; 1 without loss scaling."""
    one = tf.constant(1.0)
    if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        return optimizer.get_scaled_loss(one)
    return one


def unscale(optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Gradients of the loss itself; the optimiser skips a step where they are not finite."""
    if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        return optimizer.get_unscaled_gradients(gradients)
    return gradients
