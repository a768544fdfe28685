"""The examples of the decoder's side: of p, and of the hybrid joints between q and p.

In h_l (l = 1, ..., L) the latents z_l, ..., z_L are the encoder's for a real image, and x and z_1,
..., z_{l-1} come from the decoder, started at z_l. h_{L+1} is p. The discriminator tells q from
their mixture; with p alone it is the paper's game. Its equilibrium is the same: where q equals the
mixture, z_L has the prior's marginal, then z_{L-1} given z_L is p's, and so on down to x. For
L = 1, h_1 is the adversarial cycle of ALICE (Li et al., arXiv 1709.01215).
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from hali_tf.models.draws import CONDITIONAL, NOISE_P, PRIOR, Draws
from hali_tf.models.networks import Decoder


def sizes(shares: Sequence[float], batch: tf.Tensor) -> dict[int, tf.Tensor]:
    """Numbers of examples of p, h_L, ..., h_1, in this order: {l: int32 scalar}, p's l is L + 1.

    Args:
      shares: of h_1, ..., h_L, from 0 to 1; a joint without a share is left out, any other has one
        example at least.
      batch: B, which is p's number.
    """
    numbers = {len(shares) + 1: batch}
    for l in reversed(range(1, len(shares) + 1)):
        if shares[l - 1]:
            rounded = tf.round(shares[l - 1] * tf.cast(batch, tf.float32))
            numbers[l] = tf.maximum(tf.cast(rounded, tf.int32), 1)
    return numbers


def decoder_examples(
    decoder: Decoder,
    z_q: Sequence[tf.Tensor],
    shares: Sequence[float],
    draws: Draws,
    sigma: float,
    training: bool,
) -> list[tf.Tensor]:
    """Examples of the mixture: those of p, and behind them those of h_L, ..., h_1.

    All that starts above a level goes through the decoder's level as one batch, so that batch norm
    sees latents of the prior's side and of the encoder's, as it will in use. Gradients reach the
    encoder.

    Args:
      decoder: `Decoder`.
      z_q: [z_1, ..., z_L] of the encoder, float32 [B, ...] each; h_l takes its first examples.
      shares: as of `sizes`.
      draws: `Draws` of p's examples.
      sigma: of the noise on x.
      training: whether batch norm uses and records the statistics of the batch.

    Returns:
      [x, z_1, ..., z_L], float32 [B', ...] each, B' the sum of `sizes`.
    """
    top, shapes = len(z_q), [z.shape[1:] for z in z_q]
    numbers = sizes(shares, tf.shape(z_q[0])[0])
    hybrids = {l: n for l, n in numbers.items() if l <= top}
    own = {l: draws.of_hybrid(l, n) if l in hybrids else draws for l, n in numbers.items()}
    # The decoder starts h_l at the encoder's z_l, and draws z_k for p and for each h_l with l > k.
    started = {l: z_q[l - 1][:n] for l, n in hybrids.items()}
    conditional = [
        tf.concat([d.normal(shapes[k - 1], CONDITIONAL, k) for l, d in own.items() if l > k], 0)
        for k in range(1, top)
    ]
    prior = draws.normal(shapes[-1], PRIOR)
    x, zs = decoder(prior, conditional, training=training, joining=started)
    for k in range(1, top + 1):  # above its start, h_l keeps the encoder's latents
        kept = [z_q[k - 1][:n] for l, n in hybrids.items() if l < k]
        zs[k - 1] = tf.concat([zs[k - 1], *kept], axis=0)
    parts = tf.split(x, list(numbers.values()))
    noisy = [d.noisy(part, sigma, NOISE_P) for part, d in zip(parts, own.values())]
    return [tf.concat(noisy, axis=0), *zs]


def accuracy_names(shares: Sequence[float]) -> list[str]:
    """Names of what `accuracies` gives for the hybrid joints."""
    return [f"accuracy_h_{l}" for l, share in enumerate(shares, start=1) if share]


def accuracies(s_p: tf.Tensor, shares: Sequence[float], batch: tf.Tensor) -> dict[str, tf.Tensor]:
    """Shares of the examples of each joint that the discriminator takes for the decoder's.

    Args:
      s_p: logits of the examples of `decoder_examples`.
      shares: as of `sizes`.
      batch: as of `sizes`.

    Returns:
      float32 scalars: accuracy_p, of p's examples alone, and accuracy_h_l.
    """
    numbers = sizes(shares, batch)
    parts = tf.split(tf.cast(s_p < 0, tf.float32), list(numbers.values()))
    return {
        "accuracy_p" if l > len(shares) else f"accuracy_h_{l}": tf.reduce_mean(part)
        for l, part in zip(numbers, parts)
    }
