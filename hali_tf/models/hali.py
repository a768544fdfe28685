"""HALI (Belghazi et al., 2018): encoder and decoder play against a discriminator."""

from __future__ import annotations

import keras
import tensorflow as tf

from hali_tf import losses
from hali_tf.layers import random
from hali_tf.models import joints
from hali_tf.models.autoencoder import Autoencoder
from hali_tf.models.draws import DROPOUT, NOISE_Q, Draws
from hali_tf.models.games import PENALTY_EVERY, Games
from hali_tf.models.generative import to_signed
from hali_tf.models.networks import Discriminator
from hali_tf.models.terms import LatentTerms


class HALI(Autoencoder):
    """Encoder, decoder and discriminator with the adversarial train step; ALI where L = 1.

    Args:
      architecture: `rows.Architecture`, adapted to channels and width.
      noise: sigma of the Gaussian noise at the inputs of encoder and discriminator. Of a real image
        both see the same draw: z_1 is drawn for the noisy image, and with a draw of its own the
        discriminator would always tell it from what a deterministic decoder makes of z_1.
      hybrid_joints: shares of h_1, ..., h_L, which the paper does not have (`joints`): for each
        share s, 0 to 1, of h_l, the decoder's side has s B examples of h_l beside B of p, all of
        equal weight. Levels that are not named have none.
      gradient_penalty: gamma of R1, a further term of the discriminator's loss, which the paper
        does not have: gamma / 2 times the squared norm of ds_q / d(x, z_1, ..., z_L) (Mescheder et
        al., arXiv 1801.04406, Equation 9). Not with mixed_float16, whose range it leaves.
      cycle_latents, cycle_contrast, latent_moments: of `terms.LatentTerms`.
      image_discriminator: whether there is a second game, which the paper does not have: a
        discriminator with the rows of D, but without the latents, tells the images x of both sides
        apart (BigBiGAN's unary term of x: Donahue and Simonyan, arXiv 1907.02544, section 2). Its
        losses join those of both players.
      one_pass: gradients of both players from one backward pass; two passes are the reference
        and what mixed_float16 uses, since the factors between the losses overflow it.
      precision, remat, **settings: of `Autoencoder`.
    """

    NORMS = ("d_gradient", "g_gradient")
    VALUES = ("d_loss", "g_loss", "accuracy_q", "accuracy_p")

    def __init__(
        self,
        architecture,
        *,
        noise=0.2,
        hybrid_joints=(),
        gradient_penalty=0.0,
        cycle_latents=0.0,
        cycle_contrast=0.0,
        latent_moments=0.0,
        image_discriminator=False,
        one_pass=True,
        precision="float32",
        remat=False,
        **settings,
    ):
        missing = len(architecture.levels) - len(hybrid_joints)
        self.hybrid_joints = (*hybrid_joints, *[0.0] * missing)
        terms = LatentTerms(cycle_latents, cycle_contrast, latent_moments)
        self.VALUES = (
            *self.VALUES,
            *joints.accuracy_names(self.hybrid_joints),
            *(["penalty"] if gradient_penalty else []),
            *terms.names,
            *(["d_loss_x", "g_loss_x"] if image_discriminator else []),
        )
        super().__init__(architecture, precision=precision, remat=remat, **settings)
        self._noise, self._latent_terms = noise, terms
        self._one_pass = one_pass and precision != "mixed_float16"
        self.discriminator = Discriminator(architecture, precision, remat)
        self.image_discriminator = None
        if image_discriminator:
            of_images = architecture.of_images_alone()
            self.image_discriminator = Discriminator(of_images, precision, remat)
        self._games = Games(self.discriminator, self.image_discriminator, gradient_penalty)
        self._build()

    def _build_further(self, x, zs):
        self._games.build([x, *zs])

    @property
    def networks(self) -> dict[str, keras.layers.Layer]:
        """See `Autoencoder.networks`."""
        networks = {**super().networks, "discriminator": self.discriminator}
        if self.image_discriminator is not None:
            networks["image_discriminator"] = self.image_discriminator
        return networks

    def discriminator_features(self, images: tf.Tensor) -> tf.Tensor:
        """The discriminator's penultimate layer for images, uint8 [B, H, W, C]: float32 [B, F].

        Each is taken with its encoding, without noise and dropout (paper, Equation 8).
        """
        x = to_signed(images)
        _, zs = self.average.encoder(x)
        features = self.discriminator.features(x, zs)
        return tf.cast(tf.reshape(features, [tf.shape(x)[0], -1]), tf.float32)

    def compile(  # type: ignore[override]  # two players
        self,
        discriminator_optimizer: keras.optimizers.Optimizer,
        generator_optimizer: keras.optimizers.Optimizer,
    ) -> None:
        """Takes the two players' optimisers; see `Autoencoder.compile`."""
        self.generator_optimizer = generator_optimizer
        super().compile(discriminator_optimizer)

    def _players(self):
        return (
            (self.optimizer, self._games.variables),
            (self.generator_optimizer, self._coder_variables()),
        )

    def initialize_from_data(self, images: tf.Tensor) -> None:
        """Initialises the discriminators' weight normalisation by a batch, uint8 [B, H, W, C].

        Each layer's outputs for encoded and generated examples together get mean 0 and standard
        deviation 1 for each filter (Salimans and Kingma, 2016, section 3).
        """
        draws = Draws(random.fold([self._seed, 0], -1), tf.shape(images)[0], 0)
        of_q, of_p, _ = self._joint_examples(images, draws, training=False)
        self._games.initialize_from(of_q, of_p)

    def _joint_examples(self, images, draws, training):
        """Examples of the encoder's side, of the decoder's, and q.

        Each side is [x, z_1, ..., z_L], float32 [B, ...], the decoder's of more examples where
        there are hybrid joints (`joints.decoder_examples`). Noise for the discriminator's input is
        in x. q is the encoder's list of `Gaussian`s.
        """
        x = draws.noisy(to_signed(images), self._noise, NOISE_Q)
        q, z_q = self.encoder(x, draws.posterior(self.latent_shapes), training=training)
        of_p = joints.decoder_examples(
            self.decoder, z_q, self.hybrid_joints, draws, self._noise, training
        )
        return [x, *z_q], of_p, q

    def _examples(self, batch, seed, replica):
        """`_joint_examples` of a step, and the terms that join the generator's loss.

        A term, by its name among `VALUES`, is float32 [B], differentiable in encoder and decoder.
        """
        draws = Draws(seed, tf.shape(batch)[0], replica)
        of_q, of_p, q = self._joint_examples(batch, draws, training=True)
        entries = self.latent_shapes[-1][-1] - self.architecture.classes
        return of_q, of_p, q, self._latent_terms(self.encoder, of_q, of_p, entries)

    def _gradients(self, batch, seed, replica, scales):
        """The update of both players (paper, Algorithm 1), from one forward pass."""
        gradients = self._one_pass_gradients if self._one_pass else self._two_pass_gradients
        return gradients(batch, seed, replica, scales)

    def measured(self, step: int) -> frozenset[str]:
        """See `Autoencoder.measured`; "penalty" in steps that compute it, else "d_gradient".

        With the penalty, whose gradient counts several times, "d_gradient" would stand out.
        """
        names = super().measured(step)
        if "penalty" not in names:
            return names
        return names - {"d_gradient" if (step - 1) % PENALTY_EVERY == 0 else "penalty"}

    def _one_pass_gradients(self, batch, seed, replica, scales):
        """Gradients of both players from one backward pass (`Games.one_pass`).

        Returns:
          (discriminator's gradients, generator's gradients), dict of scalars to log.
        """
        del scales
        with tf.GradientTape() as generator_tape:
            of_q, of_p, q, terms = self._examples(batch, seed, replica)
            means = [self._mean(term) for term in terms.values()]
        dropout = random.fold(random.fold(seed, DROPOUT), replica)
        logits, d_gradients, seen, upstream = self._games.one_pass(of_q, of_p, dropout, self._mean)
        d_gradients, penalty = self._games.penalised(
            d_gradients, of_q, dropout, self._mean, self.step
        )
        upstream += [tf.ones([])] * len(means)
        g_gradients = generator_tape.gradient([*seen, *means], self._coder_variables(), upstream)
        values = {**_values(logits, q, terms, self.hybrid_joints), **penalty}
        return (d_gradients, g_gradients), values

    def _two_pass_gradients(self, batch, seed, replica, scales):
        """As `_one_pass_gradients`, each loss differentiated by itself and scaled by `scales`."""
        dropout = random.fold(random.fold(seed, DROPOUT), replica)
        with tf.GradientTape(persistent=True) as tape:
            of_q, of_p, q, terms = self._examples(batch, seed, replica)
            logits = self._games.logits(of_q, of_p, dropout)
            d_terms = [loss for pair in logits for loss in losses.discriminator_loss(*pair)]
            d_loss = scales[0] * sum(map(self._mean, d_terms))
            g_terms = [loss for pair in logits for loss in losses.generator_loss(*pair)]
            g_loss = scales[1] * sum(map(self._mean, [*g_terms, *terms.values()]))
        d_gradients, penalty = self._games.penalised(
            tape.gradient(d_loss, self._games.variables),
            of_q,
            dropout,
            lambda penalty: scales[0] * self._mean(penalty),
            self.step,
        )
        g_gradients = tape.gradient(g_loss, self._coder_variables())
        values = {**_values(logits, q, terms, self.hybrid_joints), **penalty}
        return (d_gradients, g_gradients), values


def _values(logits, q, terms, shares):
    """Scalars to log; `logits` are a pair s_q, s_p of each game.

    accuracy_p is of p's examples alone, accuracy_h_l of those of h_l.
    """
    values = {}
    for suffix, pair in zip(("", "_x"), logits):
        values["d_loss" + suffix] = sum(map(tf.reduce_mean, losses.discriminator_loss(*pair)))
        values["g_loss" + suffix] = sum(map(tf.reduce_mean, losses.generator_loss(*pair)))
    s_q, s_p = logits[0]
    return {
        **values,
        "accuracy_q": tf.reduce_mean(tf.cast(s_q > 0, tf.float32)),
        **joints.accuracies(s_p, shares, tf.shape(s_q)[0]),
        **{f"sigma_{l}": tf.reduce_mean(g.stddev) for l, g in enumerate(q, start=1)},
        **{name: tf.reduce_mean(term) for name, term in terms.items()},
    }
