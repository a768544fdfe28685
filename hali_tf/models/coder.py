"""Latents as arrays: images to means and back, in bounded memory."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf


def sample_seeds(seed: int, count: int) -> np.ndarray:
    """`count` seeds that follow from one, int64 [count]; more of them begin with the same."""
    return np.random.default_rng(seed).integers(2**62, size=count)


class Coder:
    """A model's encoder and decoder for any number of images: arrays in, arrays out.

    In batches, each a compiled call.

    Args:
      model: `Averaged`, or another model with its methods.
      batch_size: images at a time.

    Attributes:
      image_shape: (H, W, C).
      num_levels: L.
      latent_shapes: of each z_l, without the batch.
    """

    def __init__(self, model, batch_size=64):
        self._batch_size = batch_size
        self.image_shape, self.latent_shapes = tuple(model.image_shape), model.latent_shapes
        self.num_levels = model.num_levels
        images = tf.TensorSpec([None, *self.image_shape], tf.uint8)
        zs = [tf.TensorSpec([None, *shape], tf.float32) for shape in self.latent_shapes]
        numbers = tf.TensorSpec([None], tf.int64)
        self._sample = _graph(model.sample, numbers)
        self._sample_labelled = _graph(lambda s, y: model.sample(s, y), numbers, numbers)
        self._encode = _graph(lambda x: tuple(q.mean for q in model.encode(x)), images)
        self._rebuild = _graph(functools.partial(_means_and_reconstructions, model), images)

        def by_level(method, specs):
            return [_graph(functools.partial(method, level=l), s) for l, s in enumerate(specs, 1)]

        self._reconstruct = by_level(model.reconstruct, [images] * self.num_levels)
        self._decode = by_level(model.decode, zs)
        self._decode_latents = _graph(lambda z: tuple(model.decode_latents(z)), zs[-1])

    def encode(self, images: np.ndarray) -> list[np.ndarray]:
        """Means of q(z_l | z_{l-1}) for l = 1..L: a list of float32 [N, *latent].

        Args:
          images: uint8 [N, H, W, C].
        """
        return [_joined(level) for level in zip(*self._in_batches(self._encode, images))]

    def decode(self, z: np.ndarray, level: int) -> np.ndarray:
        """uint8 [N, H, W, C] from z_l, float32 [N, *latent], by the means of the levels below."""
        return _joined(self._in_batches(self._decode[level - 1], z))

    def decode_latents(self, z: np.ndarray) -> list[np.ndarray]:
        """[z_1, ..., z_L] on the way of `decode` from z_L, each float32 [N, *latent]."""
        parts = self._in_batches(self._decode_latents, z)
        return [_joined(latents) for latents in zip(*parts)]

    def reconstruct(self, images: np.ndarray, level: int) -> np.ndarray:
        """uint8 [N, H, W, C], encoded up to z_l and decoded from it."""
        return _joined(self._in_batches(self._reconstruct[level - 1], images))

    def rebuild(self, images: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The means of `encode`, and what `decode` makes of each z_l, in one call.

        Cheaper than one call for each, most of all for small images.
        """
        parts = self._in_batches(self._rebuild, images)
        zs, rebuilt = ([_joined(level) for level in zip(*each)] for each in zip(*parts))
        return zs, rebuilt

    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """uint8 [N, H, W, C]; image i follows from seeds[i] alone, and labels[i] (`Generative`).

        Args:
          seeds: int64 [N].
          labels: int64 [N], or None.
        """
        if labels is None:
            return _joined(self._in_batches(self._sample, seeds))
        return _joined(self._in_batches(self._sample_labelled, seeds, labels))

    def _in_batches(self, function, *arrays):
        begins = range(0, len(arrays[0]), self._batch_size)
        return [function(*(array[i : i + self._batch_size] for array in arrays)) for i in begins]


def _means_and_reconstructions(model, images):
    zs = tuple(q.mean for q in model.encode(images))
    return zs, tuple(model.decode(z, level) for level, z in enumerate(zs, start=1))


def _joined(batches):
    return batches[0].numpy() if len(batches) == 1 else np.concatenate(batches)


def _graph(function, *specs):
    return tf.function(function, input_signature=specs)
