"""Models that are used through moving averages of their weights."""

from __future__ import annotations

import keras
import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.layers.gaussian import Gaussian
from hali_tf.models.generative import Generative
from hali_tf.models.networks import Decoder, Encoder


class Averaged(keras.Model):
    """A model whose public methods use the averages of its weights, in float32.

    Attributes:
      encoder: `Encoder` that is trained.
      decoder: `Decoder` that is trained.
      average: `Generative` of their moving averages, batch norm statistics included.
      step: int64 variable, the number of updates.

    Args:
      ema_decay: of the moving averages.
      from_noise: whether the first weights are noise, which would linger in the averages; if they
        are those of another run (`--init_from`), its averages are kept.
    """

    encoder: Encoder
    decoder: Decoder
    average: Generative
    step: tf.Variable

    def __init__(self, ema_decay: float, from_noise: bool):
        super().__init__()
        self._ema_decay, self._from_noise = ema_decay, from_noise

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.average.image_shape

    @property
    def latent_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each z_l, without the batch."""
        return self.average.latent_shapes

    @property
    def num_levels(self) -> int:
        """L."""
        return self.average.num_levels

    def encode(self, images: tf.Tensor) -> list[Gaussian]:
        """See `Generative.encode`."""
        return self.average.encode(images)

    def decode(self, z: tf.Tensor, level: int | None = None) -> tf.Tensor:
        """See `Generative.decode`."""
        return self.average.decode(z, level)

    def decode_latents(self, z: tf.Tensor) -> list[tf.Tensor]:
        """See `Generative.decode_latents`."""
        return self.average.decode_latents(z)

    def reconstruct(self, images: tf.Tensor, level: int) -> tf.Tensor:
        """See `Generative.reconstruct`."""
        return self.average.reconstruct(images, level)

    def sample(self, seeds: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """See `Generative.sample`."""
        return self.average.sample(seeds, labels)

    def _averaged(self):
        """Pairs of moving average and the weight (or batch norm statistic) that it follows."""
        averages = self.average.encoder.weights + self.average.decoder.weights
        weights = self.encoder.weights + self.decoder.weights
        return zip(*(map(keras_versions.tf_variable, v) for v in (averages, weights)))

    def _update_averages(self, strategy):
        """Average <- decay * average + (1 - decay) * weight, in cross-replica context.

        The decay starts low where the first weights are noise.
        """
        decay = self._ema_decay
        if self._from_noise:
            step = tf.cast(self.step, tf.float32)
            decay = tf.minimum(decay, (1 + step) / (10 + step))
        rate = 1 - decay
        for average, weight in self._averaged():
            strategy.extended.update(
                average, lambda a, w: a.assign_add(rate * (w - a)), args=(weight,)
            )
