"""What HALI, ALI and the VAE share: encoder and decoder, their averages, and how they train."""

from __future__ import annotations

import keras
import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.layers import random
from hali_tf.layers.convolution import BatchNorms
from hali_tf.models.averaged import Averaged
from hali_tf.models.generative import Generative
from hali_tf.models.networks import Decoder, Encoder
from hali_tf.models.parts import mean_of_parts, share_statistics


class Autoencoder(Averaged):
    """Encoder and decoder, their moving averages, and a train step for any loss.

    A model derives from it, defines what has no body here, and calls `_build` when it has made its
    own networks.

    Attributes:
      NORMS: names of the players' gradient norms; `compile` takes an optimiser for each.
      VALUES: names of the scalars to log, beside norms and sigma_l of each level; progress shows
        the first two.

    Args:
      architecture: `rows.Architecture`, adapted to channels and width.
      seed: of all that is random in training.
      ema_decay: of the moving averages of encoder and decoder, batch norm statistics included.
      from_noise: as of `Averaged`.
      precision: Keras policy of what is trained: float32, mixed_bfloat16 or mixed_float16.
      jit_compile: whether XLA compiles losses and gradients.
      batch_norm_momentum: share of the old moving statistics in the new ones.
      sync_batch_norm: whether replicas normalise by the global batch; not with `jit_compile`.
      accumulate: number of micro-batches in which a replica computes its gradients, one after the
        other. The step equals one on `accumulate` times as many replicas; not with
        `sync_batch_norm`.
      remat: whether the backward pass computes activations again (`levels.Rows`).
    """

    NORMS: tuple[str, ...]
    VALUES: tuple[str, ...]

    def __init__(
        self,
        architecture,
        *,
        seed=0,
        ema_decay=0.998,
        from_noise=True,
        precision="float32",
        jit_compile=False,
        batch_norm_momentum=0.95,
        sync_batch_norm=False,
        accumulate=1,
        remat=False,
    ):
        super().__init__(ema_decay, from_noise)
        self.distribute_reduction_method = "first"  # `train_step` returns the same on all replicas
        self.architecture = architecture
        self._seed, self._accumulate = seed, accumulate
        norms = BatchNorms(batch_norm_momentum, sync_batch_norm)
        self.encoder = Encoder(architecture, norms, precision, remat)
        self.decoder = Decoder(architecture, norms, precision, remat)
        self.average = Generative(architecture)
        self.step = _counter(tf.int64, "step")
        self._seed_path = _counter(tf.int32)
        self._losses_and_gradients = self._gradients
        if jit_compile:  # a function of its own could not hold synchronised batch norm
            self._losses_and_gradients = tf.function(
                self._gradients, jit_compile=True, autograph=False
            )

    def _build(self):
        """Makes all variables, from zeros through every level; averages start as the weights."""
        x = tf.zeros([1, *self.image_shape])
        _, zs = self.encoder(x)
        self.decoder(zs[-1])
        self._build_further(x, zs)
        with tf.variable_creator_scope(_same_on_all_replicas):
            self.average.encoder(x)
            self.average.decoder(zs[-1])
        for average, weight in self._averaged():
            average.assign(weight)
        self.built = True

    def _build_further(self, x, zs):
        """Makes the variables of further networks, where a model has some."""

    @property
    def networks(self) -> dict[str, keras.layers.Layer]:
        """What is trained, by name."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def compile(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Takes the optimiser (the first, where there are several) and makes all moments.

        To be called in the strategy's scope: variables made later would not be restored.
        """
        super().compile(optimizer=optimizer, jit_compile=False)
        keras_versions.leave_built(self)
        for optimizer, variables in self._players():
            if hasattr(optimizer, "build"):
                optimizer.build(variables)
            else:  # of tensorflow-addons
                optimizer._create_all_weights(variables)

    def initialize_from_data(self, images: tf.Tensor) -> None:
        """Data-dependent initialisation by a first batch, uint8 [B, H, W, C]; none by default."""

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update of all that is trained, from one forward pass.

        Args:
          images: uint8 [B, H, W, C], this replica's part of the global batch.

        Returns:
          Dict of scalars of this step, float32, means over all replicas: `VALUES` and sigma_l of
          each level; and `NORMS`, of the whole batch's gradients as the optimisers get them.
        """
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
        seed = random.fold(tf.stack([self._seed, self._seed_path]), self.step)
        scales = [keras_versions.loss_scale(optimizer) for optimizer, _ in self._players()]
        all_gradients, values = self._accumulated(images, seed, replica, scales)
        if replicas > 1:
            values = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
        for (optimizer, variables), gradients, name, scale in zip(
            self._players(), all_gradients, self.NORMS, scales
        ):
            if replicas > 1:
                gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            values[name] = _norm(gradients, scale)
            keras_versions.apply_sums(optimizer, gradients, variables)
        if replicas > 1:
            share_statistics(self._recorded(), context)
        context.merge_call(self._update_averages)
        self.step.assign_add(1)
        return keras_versions.logs(values)

    def _accumulated(self, images, seed, replica, scales):
        """As `_gradients`, by micro-batches, each of which counts as a replica of its own."""
        parts = self._accumulate
        if parts == 1:
            return self._losses_and_gradients(images, seed, replica, scales)

        def of_part(part, number):
            return self._losses_and_gradients(part, seed, parts * replica + number, scales)

        variables = tuple(variables for _, variables in self._players())  # as their gradients are
        values = dict.fromkeys(set(self.logged) - set(self.NORMS), 0.0)
        return mean_of_parts(of_part, images, parts, self._recorded(), (variables, values))

    def use_stream(self, number: int) -> None:
        """Selects another stream of random draws for the next steps, 0 at first; not saved."""
        self._seed_path.assign(number)

    @property
    def logged(self) -> tuple[str, ...]:
        """Names of all that `train_step` returns."""
        return (*self.VALUES, *self.NORMS, *(f"sigma_{l}" for l in range(1, self.num_levels + 1)))

    def measured(self, step: int) -> frozenset[str]:
        """Those of `logged` that step 1, 2, ... measures: all of them by default."""
        del step
        return frozenset(self.logged)

    def _players(self):
        """Pairs of an optimiser and the variables that it trains."""
        raise NotImplementedError

    def _gradients(self, images, seed, replica, scales):
        """The gradients of a step; XLA may compile it.

        Args:
          images: as of `train_step`.
          seed: int32 [2], of this step.
          replica: int32, the number of this one, or of this micro-batch among those of all.
          scales: for each player, what its loss is multiplied by before it is differentiated.

        Returns:
          A list of gradients for each player, and a dict of float32 scalars: `VALUES` and sigma_l.
        """
        raise NotImplementedError

    def _coder_variables(self):
        return keras_versions.trained(self.encoder) + keras_versions.trained(self.decoder)

    @staticmethod
    def _mean(loss: tf.Tensor) -> tf.Tensor:
        """This replica's part of the mean over the global batch, to which the parts add up."""
        return tf.reduce_mean(loss) / tf.distribute.get_strategy().num_replicas_in_sync

    def _statistics(self):
        """What each replica records of its part of the batch: batch norm's moving statistics."""
        return self.encoder.non_trainable_variables + self.decoder.non_trainable_variables

    def _recorded(self):
        return [keras_versions.tf_variable(variable) for variable in self._statistics()]


def _counter(dtype: tf.DType, name: str | None = None) -> tf.Variable:
    """A number, 0 at first, that all replicas change alike."""
    first = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(0, dtype=dtype, trainable=False, name=name, aggregation=first)


def _norm(gradients: list[tf.Tensor], scale: tf.Tensor) -> tf.Tensor:
    """Norm of a gradient; 0 where the optimiser will skip the step.

    It skips the ones that overflow, and lowers the scale of the loss until it is 1.

    Args:
      gradients: of the loss times `scale`.
      scale: float32 scalar.
    """
    norm = tf.linalg.global_norm([g / tf.cast(scale, g.dtype) for g in gradients])
    skipped = tf.logical_and(scale > 1.0, tf.math.logical_not(tf.math.is_finite(norm)))
    return tf.where(skipped, tf.zeros_like(norm), norm)


def _same_on_all_replicas(make, **settings):
    """Makes a variable that is never a replica's own, as batch norm's statistics would be.

    To read the mean of several, all workers would have to ask for it; one evaluates.
    """
    settings["synchronization"] = tf.VariableSynchronization.ON_WRITE
    settings["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return make(**settings)
