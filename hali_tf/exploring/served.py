"""A served model with the methods of `Coder`."""

from __future__ import annotations

import numpy as np

from hali_tf.models.coder import Coder
from serving.client import HaliClient, tensors


class ServedCoder(Coder):
    """Encoder and decoder behind a `HaliClient`.

    Attributes:
      classes: K of the y in the top latent; 0 where there is none.

    Args:
      client: of the server.

    Raises:
      HaliClientError: there is no answer.
    """

    def __init__(self, client: HaliClient):
        self._client = client
        self.image_shape, self.num_levels = client.image_shape, client.num_levels
        y = client.signatures()["encode"].outputs.get("y")
        self.classes = tensors.shape_of(y)[-1] if y else 0
        blank = np.zeros((1, *self.image_shape), np.uint8)
        self.latent_shapes = tuple(z.shape[1:] for z in self.encode(blank))

    def encode(self, images: np.ndarray) -> list[np.ndarray]:
        """See `Coder.encode`."""
        return [mean for mean, _ in self._client.encode(images)]

    def decode(self, z: np.ndarray, level: int) -> np.ndarray:
        """See `Coder.decode`."""
        return self._client.decode(z, level)

    def decode_latents(self, z: np.ndarray) -> list[np.ndarray]:
        """See `Coder.decode_latents`."""
        return [*self._client.decode_latents(z), z] if self.num_levels > 1 else [z]

    def reconstruct(self, images: np.ndarray, level: int) -> np.ndarray:
        """See `Coder.reconstruct`."""
        return self._client.reconstruct(images)[level - 1]

    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """See `Coder.sample`; with labels, by the means of the levels below the top."""
        if labels is None:
            return self._client.sample(seeds)
        shape = self.latent_shapes[-1]
        z = np.stack([np.random.default_rng(seed).standard_normal(shape) for seed in seeds])
        z[:, -self.classes :] = np.arange(self.classes) == labels[:, np.newaxis]
        return self._client.decode(z)
