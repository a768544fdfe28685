"""What differs between Keras 2.15 (Python 3.9 to 3.11) and Keras 3 (Python 3.12 and 3.13).

Nothing else in the project asks for a version.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from hali_tf.errors import UsageError

_KERAS_3 = int(keras.__version__.split(".")[0]) >= 3

# Packages whose versions a run records.
PACKAGES = (
    "tensorflow", "keras", "tensorflow-datasets", "numpy", "Pillow",
    *(() if _KERAS_3 else ("tensorflow-addons",)),
)  # fmt: skip

# What all optimisers are instances of, those of tensorflow-addons included.
OPTIMIZERS = (
    (keras.optimizers.Optimizer,)
    if _KERAS_3
    else (keras.optimizers.Optimizer, keras.optimizers.legacy.Optimizer)
)

# Optimisers of this Keras that cannot train here, with the reason.
UNSUPPORTED_OPTIMIZERS = (
    {"Adafactor": "refuses the names of TensorFlow's variables"} if _KERAS_3 else {}
)


def same_optimizers(keras_version: str) -> bool:
    """Whether the optimisers' moments in a checkpoint of that Keras can be restored here."""
    return keras_version.split(".")[0] == keras.__version__.split(".")[0]


def is_variable(value: Any) -> bool:
    """Whether `value` is a variable of TensorFlow or of Keras."""
    return isinstance(value, (tf.Variable, keras.Variable) if _KERAS_3 else tf.Variable)


def tf_variable(variable: Any) -> tf.Variable:
    """The variable of TensorFlow that a variable of a layer is, or in Keras 3 holds."""
    return variable.value if _KERAS_3 and isinstance(variable, keras.Variable) else variable


def trained(network: keras.layers.Layer) -> list[tf.Variable]:
    """What is trained of a network, as TensorFlow's variables."""
    return [tf_variable(variable) for variable in network.trainable_variables]


def attributes(node: Any) -> dict[str, Any]:
    """Public attributes of a layer or module, by name.

    `kernel` is among them: Keras 3 keeps that of its own layers in `_kernel`.
    """
    found = {name: value for name, value in vars(node).items() if not name.startswith("_")}
    if _KERAS_3 and "_kernel" in vars(node):
        found["kernel"] = vars(node)["_kernel"]
    return found


def optimizer_state(optimizer: Any) -> Any:
    """What a checkpoint holds of an optimiser, in a form that tf.train.Checkpoint takes.

    Keras 3 keeps its variables where TensorFlow does not find them.
    """
    if not _KERAS_3:
        return optimizer
    return {"variables": [tf_variable(variable) for variable in optimizer.variables]}


def loss_scale(optimizer: Any) -> tf.Tensor:
    """Factor for the loss before it is differentiated, float32; 1 without loss scaling."""
    one = tf.constant(1.0)
    if not isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        return one
    return optimizer.scale_loss(one) if _KERAS_3 else optimizer.get_scaled_loss(one)


def apply_sums(
    optimizer: Any, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
) -> None:
    """Applies gradients of the scaled loss that are added up over the replicas already.

    To be called in replica context. By itself, an optimiser adds up what it gets. A step whose
    gradients are not finite is skipped if the loss is scaled.
    """
    scales = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    if _KERAS_3:  # no argument keeps it from adding up; a scaled loss has an optimiser within
        within = optimizer.inner_optimizer if scales else optimizer
        within._all_reduce_sum_gradients = list
        optimizer.apply_gradients(zip(gradients, variables))
        return
    if scales:
        gradients = optimizer.get_unscaled_gradients(gradients)
    pairs = zip(gradients, variables)
    optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)


def addons_optimizers(name: str) -> types.ModuleType:
    """tensorflow_addons.optimizers, for the optimiser that the flag calls `name`.

    Raises:
      UsageError: it does not exist for this Python.
    """
    if _KERAS_3:
        raise UsageError(
            f"--optimizer={name}: tensorflow-addons exists for Python 3.9 to 3.11 alone; use one "
            "of these, or an optimiser of keras.optimizers such as Adam"
        )
    import tensorflow_addons  # slow to import, and seldom asked for

    return tensorflow_addons.optimizers


def addons_inner_adam(**settings: Any) -> Any:
    """An Adam that the wrappers of tensorflow-addons, such as Lookahead, go around."""
    return keras.optimizers.legacy.Adam(**settings)


def leaky_relu(x: tf.Tensor, slope: float) -> tf.Tensor:
    """Leaky ReLU in the precision of x.

    With Keras 2 by way of float32: its TensorFlow's gradient takes 15 times as long in bfloat16.
    """
    if _KERAS_3:
        return tf.nn.leaky_relu(x, slope)
    return tf.cast(tf.nn.leaky_relu(tf.cast(x, tf.float32), slope), x.dtype)


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation by one operation of TensorFlow, as Keras 2 has it.

    That of Keras 3 takes several, and goes through float32 for bfloat16. The channels come last.
    As in Keras 2, the variance that the moving one takes in is the unbiased one.
    """

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns a tensor of the shape and dtype of x, [B, H, W, C]."""
        if self.synchronized or not _KERAS_3:
            return super().call(x, training=training)
        statistics = [tf_variable(v) for v in (self.moving_mean, self.moving_variance)]
        normalised, *of_batch = tf.compat.v1.nn.fused_batch_norm(
            x,
            tf_variable(self.gamma),
            tf_variable(self.beta),
            *(() if training else statistics),
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            for moving, new in zip(statistics, of_batch):
                moving.assign_sub((1 - self.momentum) * (moving - new))
        return normalised


def leave_built(model: Any) -> None:
    """Keeps `fit` from building a model that is built.

    Keras 3 would add up a batch of uint8 over the replicas for it, which workers cannot.
    """
    if _KERAS_3:
        model._maybe_symbolic_build = lambda *_, **__: None


def logs(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """What a train step returns, scalars that are equal on all replicas, as Keras takes them.

    Between several workers Keras 3 takes a mean over an axis that a scalar does not have.
    """
    several = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
    if not (_KERAS_3 and several):
        return values
    return {name: tf.expand_dims(value, 0) for name, value in values.items()}
