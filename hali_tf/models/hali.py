"""HALI (Belghazi et al., 2018): the model, its train step, and what evaluation and export share."""

import keras
import tensorflow as tf

from hali_tf import losses
from hali_tf.layers import random
from hali_tf.layers.convolution import BatchNorms
from hali_tf.models import loss_scale
from hali_tf.models.networks import Decoder, Discriminator, Encoder

# Purposes of random draws within a step: each folds the step's seed into one of its own.
_PRIOR, _POSTERIOR, _CONDITIONAL, _ENCODER_NOISE, _NOISE_Q, _NOISE_P, _DROPOUT = range(7)
_PURPOSES = 7


def to_unit(images):
    """uint8 [0, 255] to float32 [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(x):
    """float [-1, 1] to uint8 [0, 255], rounded."""
    return tf.cast(tf.round((tf.clip_by_value(x, -1.0, 1.0) + 1.0) * 127.5), tf.uint8)


class Generative(tf.Module):
    """Encoder and decoder for use: float32, deterministic unless seeds are given.

    What evaluation, figures and export call. Takes and gives uint8 images [B, H, W, C]; the
    rows of a batch do not depend on each other.

    Args:
      architecture: adapted `architectures.Architecture`.
    """

    def __init__(self, architecture):
        super().__init__()
        self.image_shape = architecture.image
        self.latent_shapes = tuple(level.latent for level in architecture.levels)
        self.encoder = Encoder(architecture, BatchNorms())
        self.decoder = Decoder(architecture, BatchNorms())

    @property
    def num_levels(self):
        """L."""
        return len(self.latent_shapes)

    def encode(self, images):
        """q(z_l | mean of z_{l-1}) for l = 1..L: list of `Gaussian`, float32 [B, *latent]."""
        return self.encoder(to_unit(images))[0]

    def decode(self, z, level=None):
        """uint8 images from z_l, float32 [B, *latent], by the means of the levels below it.

        `level` is l; the top one by default.
        """
        return to_uint8(self.decoder(z, level=level)[0])

    def decode_latents(self, z, level=None):
        """[z_1, ..., z_l] on the way of `decode`: the means of p(z_{k-1} | z_k) below `z` itself."""
        return self.decoder(z, level=level)[1]

    def reconstruct(self, images, level):
        """Encodes up to z_l and decodes from it (paper, section 3.2), by the means throughout."""
        return self.decode(self.encode(images)[level - 1].mean, level)

    def sample(self, seeds):
        """Draws z_L from the prior, then each level below it, then x (ancestral sampling).

        Args:
          seeds: int64 [B]; image i follows from seeds[i] alone.

        Returns:
          uint8 [B, H, W, C].
        """
        noises = [
            tf.map_fn(
                lambda seed, shape=shape, level=level: random.normal(
                    shape, tf.stack([seed, tf.constant(level, tf.int64)])
                ),
                seeds,
                fn_output_signature=tf.TensorSpec(shape, tf.float32),
            )
            for level, shape in enumerate(self.latent_shapes, start=1)
        ]
        return to_uint8(self.decoder(noises[-1], noises[:-1])[0])


class HALI(keras.Model):
    """Encoder, decoder and discriminator with the adversarial train step; ALI where L = 1.

    The public methods use the moving averages of the weights (`average`), in float32.

    Args:
      architecture: `architectures.Architecture`, adapted to channels and width.
      seed: of all that is random in training.
      noise: sigma of the Gaussian noise at the inputs of encoder and discriminator.
      ema_decay: of the moving averages of encoder and decoder, batch norm statistics included.
      precision: Keras policy of what is trained: float32, mixed_bfloat16 or mixed_float16.
      jit_compile: whether XLA compiles losses and gradients.
      batch_norm_momentum: share of the old moving statistics in the new ones.
      sync_batch_norm: whether replicas normalise by the global batch; not with `jit_compile`.
      one_pass: gradients of both players from one backward pass; two passes are the reference
        and what mixed_float16 uses, since the factors between the losses overflow it.
    """

    def __init__(self, architecture, *, seed=0, noise=0.2, ema_decay=0.998, precision="float32",
                 jit_compile=False, batch_norm_momentum=0.95, sync_batch_norm=False,
                 one_pass=True):  # fmt: skip
        super().__init__()
        self.architecture = architecture
        self._seed, self._noise, self._ema_decay = seed, noise, ema_decay
        self._one_pass = one_pass and precision != "mixed_float16"
        norms = BatchNorms(batch_norm_momentum, sync_batch_norm)
        self.encoder = Encoder(architecture, norms, precision)
        self.decoder = Decoder(architecture, norms, precision)
        self.discriminator = Discriminator(architecture, precision)
        self.average = Generative(architecture)
        self.step = tf.Variable(
            0, dtype=tf.int64, trainable=False, name="step",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )  # fmt: skip
        self._build()
        self._losses_and_gradients = (
            self._one_pass_gradients if self._one_pass else self._two_pass_gradients
        )
        if jit_compile:  # a function of its own could not hold synchronised batch norm
            self._losses_and_gradients = tf.function(
                self._losses_and_gradients, jit_compile=True, autograph=False
            )
        names = ["d_loss", "g_loss", "accuracy_q", "accuracy_p", "d_gradient", "g_gradient"]
        names += [f"sigma_{l}" for l in range(1, self.num_levels + 1)]
        self._train_metrics = {name: keras.metrics.Mean(name=name) for name in names}
        self._test_metrics = {
            f"rmse_{l}": keras.metrics.RootMeanSquaredError(name=f"rmse_{l}")
            for l in range(1, self.num_levels + 1)
        }

    def _build(self):
        """Makes all variables, from zeros through every level; averages start as the weights."""
        x = tf.zeros([1, *self.image_shape])
        _, zs = self.encoder(x)
        self.decoder(zs[-1])
        self.discriminator(x, zs)
        self.average.encoder(x)
        self.average.decoder(zs[-1])
        for average, weight in self._averaged():
            average.assign(weight)
        self.built = True

    def _averaged(self):
        """Pairs of moving average and the weight (or batch norm statistic) that it follows."""
        return [
            *zip(self.average.encoder.weights, self.encoder.weights),
            *zip(self.average.decoder.weights, self.decoder.weights),
        ]

    @property
    def image_shape(self):
        """(H, W, C)."""
        return self.average.image_shape

    @property
    def latent_shapes(self):
        """Shape of each z_l, without the batch."""
        return self.average.latent_shapes

    @property
    def num_levels(self):
        """L."""
        return self.average.num_levels

    # What evaluation and export use.

    def encode(self, images):
        """See `Generative.encode`."""
        return self.average.encode(images)

    def decode(self, z, level=None):
        """See `Generative.decode`."""
        return self.average.decode(z, level)

    def decode_latents(self, z, level=None):
        """See `Generative.decode_latents`."""
        return self.average.decode_latents(z, level)

    def reconstruct(self, images, level):
        """See `Generative.reconstruct`."""
        return self.average.reconstruct(images, level)

    def sample(self, seeds):
        """See `Generative.sample`."""
        return self.average.sample(seeds)

    def discriminator_features(self, images):
        """The discriminator's penultimate layer for images and their encodings, float32 [B, F].

        Noise and dropout are off (paper, Equation 8).

        Args:
          images: uint8 [B, H, W, C].
        """
        x = to_unit(images)
        _, zs = self.average.encoder(x)
        features = self.discriminator.features(x, zs)
        return tf.cast(tf.reshape(features, [tf.shape(x)[0], -1]), tf.float32)

    # Training.

    def compile(self, discriminator_optimizer, generator_optimizer):
        """Takes the two players' optimisers and makes their variables.

        To be called in the strategy's scope: variables made later would not be restored.
        """
        super().compile(optimizer=discriminator_optimizer, jit_compile=False)
        self.generator_optimizer = generator_optimizer
        for optimizer, variables in self._players():
            if hasattr(optimizer, "build"):  # tensorflow-addons' make them as they are restored
                optimizer.build(variables)

    def _players(self):
        return (
            (self.optimizer, self.discriminator.trainable_variables),
            (self.generator_optimizer, self._generator_variables()),
        )

    def _generator_variables(self):
        return self.encoder.trainable_variables + self.decoder.trainable_variables

    def initialize_from_data(self, images):
        """Data-dependent initialisation of the discriminator's weight normalisation.

        Each layer's outputs for a first batch, encoded and generated examples together, get mean 0
        and deviation 1 a filter (Salimans and Kingma, 2016, section 3).

        Args:
          images: uint8 [B, H, W, C].
        """
        draws = _Draws(random.fold([self._seed, 0], -1), tf.shape(images)[0], 0, 1)
        x, zs, _ = self._joint_examples(images, draws, training=False)
        self.discriminator.initialize_from(x, zs)

    def train_step(self, images):
        """One update of both players, from one forward pass (paper, Algorithm 1).

        Args:
          images: uint8 [B, H, W, C], this replica's part of the global batch.

        Returns:
          Dict of the means since the metrics were last reset.
        """
        context = tf.distribute.get_replica_context()
        replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
        seed = random.fold([self._seed, 0], self.step)
        scales = [loss_scale.scale(optimizer) for optimizer, _ in self._players()]
        gradients, values = self._losses_and_gradients(images, seed, replica, scales)
        for (optimizer, variables), players in zip(self._players(), gradients):
            players = loss_scale.unscale(optimizer, players)
            optimizer.apply_gradients(zip(players, variables))
        if context.num_replicas_in_sync > 1:
            self._share_statistics(context)
        context.merge_call(self._update_averages)
        self.step.assign_add(1)
        for name, metric in self._train_metrics.items():
            metric.update_state(values[name])
        return {name: metric.result() for name, metric in self._train_metrics.items()}

    def test_step(self, images):
        """Per-pixel RMSE of the reconstruction at each level, on the scale [0, 1].

        Args:
          images: uint8 [B, H, W, C].
        """
        for level in range(1, self.num_levels + 1):
            self._test_metrics[f"rmse_{level}"].update_state(
                tf.cast(images, tf.float32) / 255,
                tf.cast(self.reconstruct(images, level), tf.float32) / 255,
            )
        return {name: metric.result() for name, metric in self._test_metrics.items()}

    @property
    def metrics(self):
        """Keras resets these at the start of `fit` and `evaluate`."""
        return [*self._train_metrics.values(), *self._test_metrics.values()]

    def _joint_examples(self, images, draws, training):
        """Both joints, the encoder's examples first: x [2B, H, W, C], [z_1, ..., z_L], and q.

        Noise for the discriminator's input is in x. q is the encoder's list of `Gaussian`s.
        """
        levels = range(1, self.num_levels + 1)
        shapes = dict(zip(levels, self.latent_shapes))

        def noisy(x, purpose):
            return x + self._noise * draws.normal(self.image_shape, purpose) if self._noise else x

        x_q = to_unit(images)
        posterior = [draws.normal(shapes[l], _POSTERIOR, l) for l in levels]
        q, z_q = self.encoder(noisy(x_q, _ENCODER_NOISE), posterior, training=training)
        conditional = [draws.normal(shapes[l], _CONDITIONAL, l) for l in levels[:-1]]
        prior = draws.normal(shapes[levels[-1]], _PRIOR)
        x_p, z_p = self.decoder(prior, conditional, training=training)
        x = tf.concat([noisy(x_q, _NOISE_Q), noisy(x_p, _NOISE_P)], axis=0)
        return x, [tf.concat(pair, axis=0) for pair in zip(z_q, z_p)], q

    def _one_pass_gradients(self, images, seed, replica, scales):
        """Gradients of both players from one backward pass.

        The discriminator's pass gives, beside its own gradients, those of its loss with respect to
        its inputs; scaled an example at a time they are the other player's (see
        `losses.generator_over_discriminator`), and go on through encoder and decoder.

        Returns:
          (discriminator's gradients, generator's gradients), dict of scalars to log.
        """
        del scales
        draws = self._draws(images, seed, replica)
        with tf.GradientTape() as generator_tape:
            x, zs, q = self._joint_examples(images, draws, training=True)
        inputs = [x, *zs]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            s_q, s_p = self._logits(x, zs, seed, replica)
            d_loss = self._mean(losses.discriminator_loss(s_q, s_p))
        d_variables = self.discriminator.trainable_variables
        d_gradients, input_gradients = tape.gradient(d_loss, [d_variables, inputs])
        factors = tf.concat(losses.generator_over_discriminator(s_q, s_p), axis=0)
        upstream = [
            tf.reshape(factors, [-1] + [1] * (len(g.shape) - 1)) * g for g in input_gradients
        ]
        g_gradients = generator_tape.gradient(inputs, self._generator_variables(), upstream)
        return (d_gradients, g_gradients), self._values(s_q, s_p, q, d_gradients, g_gradients)

    def _two_pass_gradients(self, images, seed, replica, scales):
        """As `_one_pass_gradients`, each loss differentiated by itself and scaled by `scales`."""
        draws = self._draws(images, seed, replica)
        with tf.GradientTape(persistent=True) as tape:
            x, zs, q = self._joint_examples(images, draws, training=True)
            s_q, s_p = self._logits(x, zs, seed, replica)
            d_loss = scales[0] * self._mean(losses.discriminator_loss(s_q, s_p))
            g_loss = scales[1] * self._mean(losses.generator_loss(s_q, s_p))
        d_gradients = tape.gradient(d_loss, self.discriminator.trainable_variables)
        g_gradients = tape.gradient(g_loss, self._generator_variables())
        d_unscaled, g_unscaled = (
            [g / tf.cast(scale, g.dtype) for g in gradients]
            for gradients, scale in zip((d_gradients, g_gradients), scales)
        )
        return (d_gradients, g_gradients), self._values(s_q, s_p, q, d_unscaled, g_unscaled)

    def _draws(self, images, seed, replica):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return _Draws(seed, tf.shape(images)[0], replica, replicas)

    def _logits(self, x, zs, seed, replica):
        """s_q and s_p, float32 [B]."""
        seed = random.fold(random.fold(seed, _DROPOUT), replica)
        return tf.split(self.discriminator(x, zs, training=True, seed=seed), 2)

    @staticmethod
    def _mean(loss):
        """Mean over the global batch; gradients are summed over replicas."""
        return tf.reduce_mean(loss) / tf.distribute.get_strategy().num_replicas_in_sync

    def _values(self, s_q, s_p, q, d_gradients, g_gradients):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return {
            "d_loss": tf.reduce_mean(losses.discriminator_loss(s_q, s_p)),
            "g_loss": tf.reduce_mean(losses.generator_loss(s_q, s_p)),
            "accuracy_q": tf.reduce_mean(tf.cast(s_q > 0, tf.float32)),
            "accuracy_p": tf.reduce_mean(tf.cast(s_p < 0, tf.float32)),
            "d_gradient": replicas * tf.linalg.global_norm(d_gradients),
            "g_gradient": replicas * tf.linalg.global_norm(g_gradients),
            **{f"sigma_{l}": tf.reduce_mean(g.stddev) for l, g in enumerate(q, start=1)},
        }

    def _share_statistics(self, context):
        """Makes batch norm's moving statistics those of all replicas, as a checkpoint holds them.

        Each replica recorded its own; a run resumed from their mean would not equal one that went on.
        """
        statistics = (
            self.encoder.non_trainable_variables + self.decoder.non_trainable_variables
        )
        for variable, mean in zip(
            statistics, context.all_reduce(tf.distribute.ReduceOp.MEAN, statistics)
        ):
            variable.assign(mean)

    def _update_averages(self, strategy):
        """average <- decay * average + (1 - decay) * weight, in cross-replica context.

        The decay starts low: the first weights are noise and would linger.
        """
        step = tf.cast(self.step, tf.float32)
        rate = 1 - tf.minimum(self._ema_decay, (1 + step) / (10 + step))
        for average, weight in self._averaged():
            strategy.extended.update(
                average, lambda a, w: a.assign_add(rate * (w - a)), args=(weight,)
            )


class _Draws:
    """Standard normal draws for one replica's part of the global batch.

    They are drawn for the whole batch and cut, so that what an example meets does not depend on
    how many replicas share the batch.
    """

    def __init__(self, seed, batch, replica, replicas):
        self._seed, self._batch, self._replica, self._replicas = seed, batch, replica, replicas

    def normal(self, shape, purpose, level=0):
        """float32 [B, *shape]."""
        seed = random.fold(self._seed, _PURPOSES * level + purpose)
        if self._replicas == 1:
            return random.normal([self._batch, *shape], seed)
        draws = random.normal([self._replicas * self._batch, *shape], seed)
        begin = [self._replica * self._batch] + [0] * len(shape)
        return tf.slice(draws, begin, [self._batch, *shape])
