"""Optimisers by name: keras.optimizers, or tensorflow-addons as addons/NAME."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.errors import UsageError


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that stays until step `first` and then falls linearly to 0 at step `last`.

    The players circle around what they would agree on; slower, they come nearer to it.
    """

    def __init__(self, rate, first, last):
        self._rate, self._first, self._last = rate, first, last

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the learning rate at a step."""
        left = (self._last - tf.cast(step, tf.float32)) / max(self._last - self._first, 1)
        return self._rate * tf.clip_by_value(left, 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """What Keras rebuilds it from."""
        return {"rate": self._rate, "first": self._first, "last": self._last}


def make_optimizer(
    name: str,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    fall: tuple[int, int] | None = None,
    loss_scaling: bool = False,
) -> keras.optimizers.Optimizer:
    """A new optimiser.

    Args:
      name: a class of `keras.optimizers` ("Adam") or of `tfa.optimizers` ("addons/AdaBelief");
        "addons/Lookahead" and other wrappers go around Adam.
      learning_rate: a positive number.
      beta_1: given to the optimisers that take it.
      beta_2: likewise.
      fall: (first, last) step of `Falling`; None keeps the learning rate.
      loss_scaling: whether to scale the loss dynamically, for mixed_float16.

    Raises:
      UsageError: no optimiser of this name, or one that needs more than the above.
    """
    if fall:
        learning_rate = Falling(learning_rate, *fall)
    settings = {"learning_rate": learning_rate, "beta_1": beta_1, "beta_2": beta_2}
    kind = _find(name)
    parameters = inspect.signature(kind.__init__).parameters
    accepted = {key: value for key, value in settings.items() if key in parameters}
    try:
        if "optimizer" in parameters:
            optimizer = kind(keras_versions.addons_inner_adam(**settings))
        else:
            optimizer = kind(**accepted)
    except TypeError as error:
        raise UsageError(
            f"--optimizer={name}: cannot be made from learning rate and betas alone ({error}); "
            "choose another, such as Adam"
        ) from error
    return keras.mixed_precision.LossScaleOptimizer(optimizer) if loss_scaling else optimizer


def _find(name):
    """The optimiser class called `name`."""
    short = name.split("/")[-1]
    if name.startswith("addons/"):
        library, module = "tensorflow_addons.optimizers", keras_versions.addons_optimizers(name)
    else:
        library, module = "keras.optimizers", keras.optimizers
    kind = getattr(module, short, None)
    if not (inspect.isclass(kind) and hasattr(kind, "apply_gradients")) or short == "Optimizer":
        raise UsageError(
            f"--optimizer={name}: {library} has no optimiser {short!r}; expected a class name such "
            "as Adam or addons/AdaBelief"
        )
    return kind
