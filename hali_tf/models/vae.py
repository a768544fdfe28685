"""The VAE that the paper compares with: ALI's encoder and decoder, trained on the ELBO."""

import math

import tensorflow as tf

from hali_tf import losses
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.draws import POSTERIOR, Draws
from hali_tf.models.generative import to_signed

# Half a grey level: the density of images that are reproduced exactly would have no bound.
_LEAST_SIGMA = 1 / 255


class VAE(Autoencoder):
    """Encoder and decoder of one level, trained on the evidence lower bound (arXiv 1312.6114).

    Posterior q(z | x): the encoder's diagonal Gaussian. Prior: N(0, I). Likelihood p(x | z):
    N(decoder(z), sigma_x^2 I) for x in [-1, 1], one sigma_x for all pixels, the most likely one:
    the RMS of the residuals, as a moving average over batches ("optimal sigma" of Rybkin et al.,
    arXiv 2006.13202). A fixed one would be a weight between the ELBO's two terms that is to be
    tuned for each data set, and a trained one would follow the residuals no faster than the
    learning rate lets it.

    Args:
      architecture: `rows.Architecture` of one level.
      batch_norm_momentum: also the share of the old sigma_x^2 in the new one.
      **settings: of `Autoencoder`.
    """

    NORMS = ("gradient",)
    VALUES = ("log_likelihood", "kl", "elbo", "sigma_x")

    def __init__(self, architecture, *, batch_norm_momentum=0.95, **settings):
        super().__init__(architecture, batch_norm_momentum=batch_norm_momentum, **settings)
        self._momentum = batch_norm_momentum
        self.variance = tf.Variable(
            1.0,
            trainable=False,
            name="variance",
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )
        self._build()

    def _players(self):
        return ((self.optimizer, self._coder_variables()),)

    def _gradients(self, images, seed, replica, scales):
        """Gradients of -ELBO by one draw of z for each image.

        In nats per entry of x, because nats per image overflow mixed_float16. The logged ELBO is in
        nats per image.
        """
        x = to_signed(images)
        noise = Draws(seed, tf.shape(images)[0], replica).normal(
            self.latent_shapes[0], POSTERIOR, 1
        )
        sigma = tf.maximum(tf.sqrt(self.variance), _LEAST_SIGMA)
        with tf.GradientTape() as tape:
            (q,), (z,) = self.encoder(x, [noise], training=True)
            mean, _ = self.decoder(z, training=True)
            log_likelihood = losses.log_likelihood(x, mean, sigma)
            kl = losses.kl_to_prior(q)
            loss = scales[0] * self._mean(kl - log_likelihood) / math.prod(self.image_shape)
        gradients = tape.gradient(loss, self._coder_variables())
        square = tf.reduce_mean(tf.square(x - mean))
        self.variance.assign(self._momentum * self.variance + (1 - self._momentum) * square)
        return (gradients,), {
            "log_likelihood": tf.reduce_mean(log_likelihood),
            "kl": tf.reduce_mean(kl),
            "elbo": tf.reduce_mean(log_likelihood - kl),
            "sigma_x": sigma,
            "sigma_1": tf.reduce_mean(q.stddev),
        }

    def _statistics(self):
        return [*super()._statistics(), self.variance]
