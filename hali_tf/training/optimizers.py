"""Optimisers by name: keras.optimizers, or tensorflow-addons as addons/NAME."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.config.groups import OptimisationConfig
from hali_tf.errors import UsageError

# Those that could be found and cannot train here.
_UNSUPPORTED = {
    **keras_versions.UNSUPPORTED_OPTIMIZERS,
    "COCOB": "has no learning rate",
    "MultiOptimizer": "needs more than a learning rate and betas",
}


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that stays until step `first` and then falls linearly to 0 at step `last`.

    Near the equilibrium the players oscillate around it; a smaller learning rate damps that.
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


def make_optimizer(settings: OptimisationConfig) -> keras.optimizers.Optimizer:
    """A new optimiser: a class of `keras.optimizers`, or of `tfa.optimizers` as addons/NAME.

    It gets the learning rate and, where it takes them, the betas; "addons/Lookahead" and other
    wrappers go around Adam. With mixed_float16 the loss is scaled dynamically.

    Raises:
      UsageError: no optimiser of this name, or one that needs more than the above.
    """
    rate, fall = settings.learning_rate, settings.falling_steps()
    given = {
        "learning_rate": Falling(rate, *fall) if fall else rate,
        "beta_1": settings.beta_1,
        "beta_2": settings.beta_2,
    }
    kind = _find(settings.optimizer)
    if fall and kind.__name__ == "ConditionalGradient":
        raise UsageError(
            f"--optimizer={settings.optimizer}: cannot follow a learning rate that falls; drop "
            "--learning_rate_fall, or choose another, such as Adam"
        )
    parameters = inspect.signature(kind.__init__).parameters
    try:
        if "optimizer" in parameters:
            optimizer = kind(keras_versions.addons_inner_adam(**given))
        else:
            optimizer = kind(**{name: given[name] for name in given if name in parameters})
    except TypeError as error:
        raise UsageError(
            f"--optimizer={settings.optimizer}: cannot be made from learning rate and betas alone "
            f"({error}); choose another, such as Adam"
        ) from error
    scaled = settings.precision == "mixed_float16"
    return keras.mixed_precision.LossScaleOptimizer(optimizer) if scaled else optimizer


def _find(name):
    """The optimiser class called `name`."""
    library, module, short = "keras.optimizers", keras.optimizers, name
    if name.startswith("addons/"):
        library, module = "tensorflow_addons.optimizers", keras_versions.addons_optimizers(name)
        short = name[len("addons/") :]
    if short in _UNSUPPORTED:
        raise UsageError(f"--optimizer={name}: {_UNSUPPORTED[short]}; choose another, such as Adam")
    kind = getattr(module, short, None)
    if not (inspect.isclass(kind) and hasattr(kind, "apply_gradients")) or short == "Optimizer":
        raise UsageError(
            f"--optimizer={name}: {library} has no optimiser {short!r}; expected a class name such "
            "as Adam or addons/AdaBelief"
        )
    return kind
