"""Terms of z_L that join the loss of encoder and decoder, which the paper does not have."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from hali_tf import losses
from hali_tf.models.networks import Encoder

# The terms of the cycle of latents, by the names under which they are logged.
_CYCLE = {
    "cycle_latents_loss": losses.latent_loss,
    "cycle_contrast_loss": losses.latent_contrast,
}
_MOMENTS = "latent_moments_loss"


class LatentTerms:
    """The terms that have a weight.

    Args:
      cycle_latents: weight of `losses.latent_loss` of generated images.
      cycle_contrast: weight of `losses.latent_contrast` of them.
      latent_moments: weight of `losses.moment_loss` of the encoder's z_L.
    """

    def __init__(self, cycle_latents: float, cycle_contrast: float, latent_moments: float):
        cycle = dict(zip(_CYCLE, (cycle_latents, cycle_contrast)))
        self._cycle = {name: weight for name, weight in cycle.items() if weight}
        self._latent_moments = latent_moments

    @property
    def names(self) -> tuple[str, ...]:
        """Under which they are logged, with their weights."""
        return (*self._cycle, *([_MOMENTS] if self._latent_moments else []))

    def __call__(
        self, encoder: Encoder, of_q: Sequence[tf.Tensor], of_p: Sequence[tf.Tensor], entries: int
    ) -> dict[str, tf.Tensor]:
        """The terms by name, float32 [B] each, differentiable in encoder and decoder.

        Args:
          encoder: `Encoder`.
          of_q: [x, z_1, ..., z_L] of the encoder's side, float32 [B, ...] each.
          of_p: of the decoder's side, the first B examples those of p.
          entries: d, the number of entries of z_L without the label, where there is one.
        """
        terms = {}
        if self._cycle:
            x, z = (examples[: tf.shape(of_q[0])[0]] for examples in (of_p[0], of_p[-1]))
            # By the statistics of the batch, as real images are. By the moving ones the encoder
            # treats the two differently, and real images get latents of little spread.
            mean = encoder(x, training=True)[0][-1].mean
            terms = {name: weight * _CYCLE[name](mean, z) for name, weight in self._cycle.items()}
        if self._latent_moments:
            z = of_q[-1][:, :entries]
            terms[_MOMENTS] = self._latent_moments * losses.moment_loss(z)
        return terms
