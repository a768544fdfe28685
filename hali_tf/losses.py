"""The losses.

HALI's are adversarial, on logits, non-saturating, with no reconstruction term (paper, Algorithm 1):
s_q = D's logit for (x, z_1, ..., z_L) from the encoder, s_p for one from the decoder; D says
"encoder" with probability sigmoid(s). The VAE's are the two terms of its ELBO, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# Far beyond it exp(-|s|) times the other factors of a gradient is below the smallest float32.
_LARGEST_LOGIT = 60.0

_SURE = 0.95


def discriminator_loss(s_q: tf.Tensor, s_p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """-log sigmoid(s_q) and -log(1 - sigmoid(s_p)), for each example of s_q and of s_p.

    The loss is the sum of their means.
    """
    return tf.nn.softplus(-s_q), tf.nn.softplus(s_p)


def generator_loss(s_q: tf.Tensor, s_p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """-log(1 - sigmoid(s_q)) and -log sigmoid(s_p), for each example of s_q and of s_p.

    The loss is the sum of their means; encoder and decoder minimise it together.
    """
    return tf.nn.softplus(s_q), tf.nn.softplus(-s_p)


def label_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """-log q(y | x) for each labelled example (paper, Equation 10), float32 [B].

    Args:
      logits: of q(y | z_1), float32 [B, K].
      labels: y, integers [B] from 0 to K - 1.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def consistency_loss(logits: tf.Tensor, teacher: tf.Tensor, spread: tf.Tensor) -> tf.Tensor:
    """-log q(y | x') for each image x' whose original's label the teacher is sure of, float32 [B].

    0 for the others. y is the teacher's most likely label of x, the original of x'; it is sure from
    a probability of 0.95 on (FixMatch, arXiv 2001.07685, Equation 4).

    Args:
      logits: of q(y | x'), float32 [B, K].
      teacher: logits of its q(y | x), float32 [B, K]; no gradient reaches them.
      spread: a second teacher's labels of x, int64 [B]; where it says another one the loss is 0,
        and -1 says nothing.
    """
    probabilities = tf.stop_gradient(tf.nn.softmax(teacher))
    y = tf.argmax(probabilities, axis=-1)
    sure = tf.reduce_max(probabilities, axis=-1) >= _SURE
    agreed = sure & ((spread == y) | (spread == -1))
    return tf.cast(agreed, tf.float32) * label_loss(logits, y)


def latent_loss(mean: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """The squared distance of z_L from its image's encoding, the mean over entries, float32 [B].

    VEEGAN's (Srivastava et al., arXiv 1705.07761, section 3). It is 1 where the encoder finds
    nothing of the z_L that an image was generated from.

    Args:
      mean: of q(z_L | x), float32 [B, d].
      z: a draw of the prior that x was generated from, float32 [B, d]; with a label, [z_L, y].
    """
    return tf.reduce_mean(tf.square(mean - z), axis=-1)


def latent_contrast(mean: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """How unsure it is which z_L of the batch an image was generated from, float32 [B].

    -log softmax_j(-|z_i - m_j|^2 / 2) at j = i, for the mean m_j of q(z_L | x_j) (InfoNCE, van den
    Oord et al., arXiv 1807.03748, Equation 4). It is log B where the encoder finds nothing of the
    z_L that an image was generated from.

    Args:
      mean: of q(z_L | x), float32 [B, d].
      z: the draws that the images were generated from, float32 [B, d]; with a label, [z_L, y].
    """
    # Without -|z_i|^2 / 2, which is the same for all j.
    logits = tf.matmul(z, mean, transpose_b=True) - tf.reduce_sum(tf.square(mean), axis=-1) / 2
    return label_loss(logits, tf.range(tf.shape(z)[0]))


def moment_loss(z: tf.Tensor) -> tf.Tensor:
    """How far the mean and the covariance of the encoder's z_L are from the prior's, float32 [B].

    The squared MMD of q(z_L) and N(0, I) under the kernel k(z, z') = (1 + z.z')^2, divided by d: a
    discriminator whose best answer is known in closed form, as in WAE-MMD (Tolstikhin et al., arXiv
    1711.01558, section 2.2). Its mean over the batch is an unbiased estimate of
    (2 |m|^2 + ||C + m m^T - I||^2) / d, with m the mean and C the covariance of z_L.

    Args:
      z: draws of q(z_L | x) for B images, float32 [B, d].
    """
    batch, d = tf.unstack(tf.cast(tf.shape(z), tf.float32))
    squares = tf.reduce_sum(tf.square(z), axis=-1)
    kernel = tf.square(1 + tf.matmul(z, z, transpose_b=True))
    of_others = tf.reduce_sum(kernel, axis=-1) - tf.square(1 + squares)
    # The kernel's mean is 1 + |z|^2 for z and a draw of the prior, and 1 + d for two of the prior.
    return (tf.math.divide_no_nan(of_others, batch - 1) - 2 * (1 + squares) + 1 + d) / d


def generator_over_discriminator(s_q: tf.Tensor, s_p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Factors that turn gradients of the discriminator's loss into the generator's.

    An example's logit depends on that example alone, so both losses reach D's inputs through the
    same ds/d(input), and for each example
      (d generator_loss / ds_q) / (d discriminator_loss / ds_q) = sigmoid(s_q) / -sigmoid(-s_q)
                                                                = -exp(s_q), and for s_p -exp(-s_p).
    Logits beyond 60 count as 60, so that an example with such a logit has a smaller gradient than
    the generator's loss gives it: what is scaled falls with exp(-|s|), until float32 has lost it.

    Returns:
      Factors of the encoder's and of the decoder's examples, float32 of the shapes of s_q and s_p.
    """
    s_q = tf.minimum(s_q, _LARGEST_LOGIT)
    s_p = tf.maximum(s_p, -_LARGEST_LOGIT)
    return -tf.exp(s_q), -tf.exp(-s_p)


def slope_penalty(
    score: Callable[[Sequence[tf.Tensor]], tf.Tensor], inputs: Sequence[tf.Tensor], gamma: float
) -> tf.Tensor:
    """R1 (Mescheder et al., arXiv 1801.04406, Equation 9), a scalar, float32.

    Args:
      score: inputs -> logits, float32 [B].
      inputs: float32 [B, ...] each.
      gamma: weight of half the squared norm of the logit's gradient.
    """
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        logits = score(inputs)
    squares = sum(_sum(tf.square(slope)) for slope in tape.gradient(logits, inputs))
    return gamma / 2 * tf.reduce_mean(squares)


def log_likelihood(x: tf.Tensor, mean: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Log N(x; mean, sigma^2 I) for each example, float32 [B].

    Args:
      x: float32 [B, ...].
      mean: of the shape of x.
      sigma: float32 scalar.
    """
    exponents = tf.square((x - mean) / sigma) / 2
    return -_sum(exponents + tf.math.log(sigma) + 0.5 * math.log(2 * math.pi))


def kl_to_prior(q: Any) -> tf.Tensor:
    """KL(q || N(0, I)) for each example, float32 [B]; q is a `layers.gaussian.Gaussian`."""
    squares = tf.square(q.mean) + tf.square(q.stddev)
    return _sum((squares - 1) / 2 - tf.math.log(q.stddev))


def _sum(x):
    """Over all axes but the first."""
    return tf.reduce_sum(x, axis=list(range(1, len(x.shape))))
