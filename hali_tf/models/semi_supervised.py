"""HALI with a label y beside the top latent, learned from few labels (paper, section 7.2).

A batch of these models is uint8 images [B, H, W, C] without labels, as many with, and their labels
[B], 0 to K - 1; see `hali_tf.data.semi_supervised_batches`.
"""

import tensorflow as tf

from hali_tf import losses
from hali_tf.layers import random
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.draws import ENCODER_NOISE
from hali_tf.models.generative import to_unit
from hali_tf.models.hali import HALI

# Folds a step's seed into that of the labelled images' draws; the purposes of draws are from 0 on.
_LABELLED = -1


class _Labelling:
    """The loss of labelled images."""

    def _encode_labelled(self, labelled, seed, replica):
        """The encoder's list of `Gaussian`s, the last with y, under the noise of training."""
        draws = self._draws(labelled, random.fold(seed, _LABELLED), replica)
        x = draws.noisy(to_unit(labelled), self._noise, ENCODER_NOISE)
        return self.encoder(x, draws.posterior(self.latent_shapes), training=True)[0]


class SemiSupervisedHALI(_Labelling, HALI):
    """HALI of [z_L, y] at the top: q(y | z_{L-1}) a softmax in the encoder, p(y) uniform.

    The game is HALI's, and the discriminator sees y beside z_L; the cross-entropy of labelled images
    joins the loss of encoder and decoder (Equation 10). Both terms are logged with their weights.

    Args:
      architecture: `architectures.Architecture` with a label (`with_label`).
      label_weight: of the cross-entropy of labelled images; the paper's is 1.
      cycle_labels: weight of a further term, which the paper does not have: the cross-entropy of
        the encoder's y for generated images against the y that they were generated from.
      **settings: of `HALI`.
    """

    def __init__(self, architecture, *, label_weight=1.0, cycle_labels=0.0, **settings):
        self._label_weight, self._cycle_labels = label_weight, cycle_labels
        terms = ("label_loss", "cycle_loss") if cycle_labels else ("label_loss",)
        self.VALUES = (*HALI.VALUES, *terms)
        super().__init__(architecture, **settings)

    def _examples(self, batch, seed, replica):
        images, labelled, labels = batch
        x, zs, q, terms = super()._examples(images, seed, replica)
        q_labelled = self._encode_labelled(labelled, seed, replica)
        label_loss = losses.label_loss(q_labelled[-1].logits, labels)
        terms["label_loss"] = self._label_weight * label_loss
        if self._cycle_labels:
            terms["cycle_loss"] = self._cycle_labels * self._cycle_loss(x, zs[-1])
        return x, zs, q, terms

    def _cycle_loss(self, x, z):
        """-log q(y | x) of generated images, float32 [B]; x and z as of `_joint_examples`.

        By the moving statistics, which generated images then leave alone.
        """
        _, generated = tf.split(x, 2)
        _, top = tf.split(z, 2)
        y = tf.argmax(top[:, -self.architecture.classes :], axis=-1)
        return losses.label_loss(self.encoder(generated)[0][-1].logits, y)


class SupervisedEncoder(_Labelling, Autoencoder):
    """The encoder of a `SemiSupervisedHALI` on the labelled images alone.

    The reference that says what the images without labels are worth. Its decoder stays as it began.

    Args:
      architecture: as of `SemiSupervisedHALI`.
      noise: sigma of the Gaussian noise at the encoder's input.
      **settings: of `Autoencoder`.
    """

    OPTIMIZERS = 1
    VALUES = ("label_loss", "gradient")

    def __init__(self, architecture, *, noise=0.2, **settings):
        super().__init__(architecture, **settings)
        self._noise = noise
        self._build()

    def _players(self):
        return ((self.optimizer, self.encoder.trainable_variables),)

    def _gradients(self, batch, seed, replica, scales):
        """Gradients of the cross-entropy of labelled images; z_L has no part in it."""
        _, labelled, labels = batch
        variables = self.encoder.trainable_variables
        with tf.GradientTape() as tape:
            q = self._encode_labelled(labelled, seed, replica)
            label_loss = losses.label_loss(q[-1].logits, labels)
            loss = scales[0] * self._mean(label_loss)
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        return (gradients,), {
            "label_loss": tf.reduce_mean(label_loss),
            "gradient": self._norm(gradients, scales[0]),
            **{f"sigma_{l}": tf.reduce_mean(g.stddev) for l, g in enumerate(q, start=1)},
        }
