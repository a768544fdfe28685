"""HALI with a label y beside the top latent, learned from few labels (paper, section 7.2)."""

import tensorflow as tf

from hali_tf import losses
from hali_tf.layers import random
from hali_tf.models.generative import to_unit
from hali_tf.models.hali import HALI

# Folds a step's seed into that of the labelled batch's draws; the other purposes are from 0 on.
_LABELLED = -1


class SemiSupervisedHALI(HALI):
    """HALI of [z_L, y] at the top: q(y | z_{L-1}) a softmax in the encoder, p(y) uniform.

    Encoder and decoder play the same game against the discriminator, which sees y beside z_L; their
    loss has the cross-entropy of labelled images besides (Equation 10).

    Args:
      architecture: `architectures.Architecture` with a label (`with_label`).
      cycle_labels: weight of a further term, which the paper does not have: the cross-entropy of
        the encoder's y for generated images against the y they were generated from.
      **settings: of `HALI`.
    """

    def __init__(self, architecture, *, cycle_labels=0.0, **settings):
        self._cycle_labels = cycle_labels
        terms = ("label_loss", "cycle_loss") if cycle_labels else ("label_loss",)
        self.VALUES = (*HALI.VALUES, *terms)
        super().__init__(architecture, **settings)

    def label_scores(self, images):
        """q(y | x) of uint8 images [B, H, W, C] by the means of the levels: float32 [B, K]."""
        return self.encode(images)[-1].probabilities

    def train_step(self, batch):
        """As `HALI.train_step`.

        Args:
          batch: uint8 images [B, H, W, C] without labels, as many with, and their labels [B].
        """
        return super().train_step(batch)

    def _examples(self, batch, seed, replica):
        images, labelled, labels = batch
        x, zs, q, terms = super()._examples(images, seed, replica)
        draws = self._draws(labelled, random.fold(seed, _LABELLED), replica)
        q_labelled, _ = self._encode_noisy(to_unit(labelled), draws, training=True)
        terms["label_loss"] = losses.label_loss(q_labelled[-1].logits, labels)
        if self._cycle_labels:
            generated, z = tf.split(x, 2)[1], tf.split(zs[-1], 2)[1]
            y = tf.argmax(z[:, -self.architecture.classes :], axis=-1)
            q_generated, _ = self.encoder(generated)
            terms["cycle_loss"] = self._cycle_labels * losses.label_loss(q_generated[-1].logits, y)
        return x, zs, q, terms
