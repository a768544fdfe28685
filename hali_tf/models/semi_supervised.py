"""HALI with a label y beside the top latent, learned from few labels (paper, section 7.2).

A batch of these models is uint8 images [B, H, W, C] without labels, the same images moved, an
equal number of images with labels, these labels [B], 0 to K - 1, and the labels that spread to the
first images [B], -1 where none does; see `hali_tf.data.semi_supervised_batches`.
"""

import tensorflow as tf

from hali_tf import keras_versions, losses
from hali_tf.layers import random
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.draws import NOISE_Q, Draws
from hali_tf.models.generative import to_signed
from hali_tf.models.hali import HALI

# Fold a step's seed into those of the draws for labelled and for moved images; the purposes of
# other draws are from 0 on.
_LABELLED, _MOVED = -1, -2


class _Labelled:
    """The terms of the loss that labels bring."""

    def _take_label_weights(self, label_weight, consistency):
        """Keeps the weights of the terms; returns the names of those that have one."""
        self._label_weight, self._consistency = label_weight, consistency
        return ("label_loss", "consistency_loss") if consistency else ("label_loss",)

    def _label_terms(self, batch, seed, replica):
        """The terms by name, each float32 [B], under the noise of training; and their q.

        q is the encoder's list of `Gaussian`s, the last with y, for the images that it was shown.
        """
        images, moved, labelled, labels, spread = batch
        shown = {_LABELLED: labelled, **({_MOVED: moved} if self._consistency else {})}
        inputs = []
        for purpose, part in shown.items():
            draws = Draws(random.fold(seed, purpose), tf.shape(part)[0], replica)
            x = draws.noisy(to_signed(part), self._noise, NOISE_Q)
            inputs.append([x, *draws.posterior(self.latent_shapes)])
        x, *noise = (tf.concat(parts, axis=0) for parts in zip(*inputs))
        q = self.encoder(x, noise, training=True)[0]
        logits, of_moved = tf.split(q[-1].logits, [tf.shape(labels)[0], -1])
        terms = {"label_loss": self._label_weight * losses.label_loss(logits, labels)}
        if self._consistency:
            teacher = self.average.encoder(to_signed(images))[0][-1].logits
            loss = losses.consistency_loss(of_moved, teacher, spread)
            terms["consistency_loss"] = self._consistency * loss
        return terms, q


class SemiSupervisedHALI(_Labelled, HALI):
    """HALI of [z_L, y] at the top: q(y | z_{L-1}) a softmax in the encoder, p(y) uniform.

    The game is HALI's, and the discriminator sees y beside z_L; the cross-entropy of labelled
    images joins the loss of encoder and decoder (Equation 10). Both terms are logged with their
    weights.

    Args:
      architecture: `rows.Architecture` with a label (`with_label`).
      label_weight: of the cross-entropy of labelled images; the paper's is 1.
      consistency: weight of a further term, which the paper does not have: the cross-entropy of the
        encoder's y for moved images against the y that the averaged encoder is sure of for the
        images themselves, where the label that spread to them is no other one
        (`losses.consistency_loss`).
      cycle_labels: weight of a further term, which the paper does not have: the cross-entropy of
        the encoder's y for generated images against the y that they were generated from.
      **settings: of `HALI`.
    """

    def __init__(
        self, architecture, *, label_weight=1.0, consistency=0.0, cycle_labels=0.0, **settings
    ):
        self._cycle_labels = cycle_labels
        terms = self._take_label_weights(label_weight, consistency)
        self.VALUES = (*HALI.VALUES, *terms, *(["cycle_labels_loss"] if cycle_labels else []))
        super().__init__(architecture, **settings)

    def _examples(self, batch, seed, replica):
        of_q, of_p, q, terms = super()._examples(batch[0], seed, replica)
        terms.update(self._label_terms(batch, seed, replica)[0])
        if self._cycle_labels:
            terms["cycle_labels_loss"] = self._cycle_labels * self._cycle_loss(
                *(v[: tf.shape(batch[0])[0]] for v in (of_p[0], of_p[-1]))
            )
        return of_q, of_p, q, terms

    def _cycle_loss(self, x, z):
        """-log q(y | x) of generated images x [B, H, W, C], from z = [z_L, y]; float32 [B].

        By the moving statistics, which generated images then leave alone.
        """
        y = tf.argmax(z[:, -self.architecture.classes :], axis=-1)
        return losses.label_loss(self.encoder(x)[0][-1].logits, y)


class LabelledEncoder(_Labelled, Autoencoder):
    """The encoder of a `SemiSupervisedHALI` alone, without the game.

    The reference that says what the game is worth: by default it learns from the labelled images
    and nothing else. Its decoder stays as it began.

    Args:
      architecture, label_weight, consistency: as of `SemiSupervisedHALI`.
      noise: sigma of the Gaussian noise at the encoder's input.
      **settings: of `Autoencoder`.
    """

    NORMS = ("gradient",)

    def __init__(self, architecture, *, noise=0.2, label_weight=1.0, consistency=0.0, **settings):
        self._noise = noise
        self.VALUES = self._take_label_weights(label_weight, consistency)
        super().__init__(architecture, **settings)
        self._build()

    def _players(self):
        return ((self.optimizer, keras_versions.trained(self.encoder)),)

    def _gradients(self, batch, seed, replica, scales):
        """Gradients of the labels' terms; z_L has no part in them."""
        variables = keras_versions.trained(self.encoder)
        with tf.GradientTape() as tape:
            terms, q = self._label_terms(batch, seed, replica)
            loss = scales[0] * sum(map(self._mean, terms.values()))
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        return (gradients,), {
            **{name: tf.reduce_mean(term) for name, term in terms.items()},
            **{f"sigma_{l}": tf.reduce_mean(g.stddev) for l, g in enumerate(q, start=1)},
        }
