"""A network that recognises the attributes of an image."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from hali_tf.architectures import ARCHITECTURES
from hali_tf.attributes.degradation import degraded
from hali_tf.errors import UserError, in_one_line
from hali_tf.layers import random
from hali_tf.layers.convolution import BatchNorms
from hali_tf.models.generative import to_signed
from hali_tf.models.networks import Encoder

BATCH = 128  # number of images at a time, where they are not trained on
_SMALLEST = 32  # pixels; VGG16 halves an image five times
_FLIP, _DROPOUT, _DEGRADE = range(3)  # purposes of random draws within a step

# (height, width, channels)
_Shape = tuple[int, int, int]


class VGG16(keras.layers.Layer):
    """VGG16's convolutions (Simonyan and Zisserman, 2014): uint8 [B, H, W, C] to [B, h, w, 512].

    Args:
      image_shape: (H, W, C), C = 1 or 3.
      weights: "imagenet", "none", or a file in Keras' format.
      frozen_blocks: how many of its five blocks are not trained.
      precision: Keras policy.

    Raises:
      UserError: the images are too small, or the weights cannot be had.
    """

    def __init__(
        self,
        image_shape: _Shape,
        weights: str = "none",
        frozen_blocks: int = 0,
        precision: str = "float32",
    ):
        super().__init__(dtype=precision)
        height, width, _ = image_shape
        if min(height, width) < _SMALLEST:
            raise UserError(
                f"images of {height}x{width}: VGG16 needs {_SMALLEST} or more; set --image_size"
            )
        table = _vgg16((height, width, 3), weights)
        layers = []
        for layer in table.layers[1:]:
            own = type(layer).from_config({**layer.get_config(), "dtype": precision})
            own.build(layer.input.shape)
            own.set_weights(layer.get_weights())
            layers.append(own)
        # Layers are named block1_conv1, ..., block5_pool.
        self.frozen = [layer for layer in layers if int(layer.name[5]) <= frozen_blocks]
        self.tuned = [layer for layer in layers if int(layer.name[5]) > frozen_blocks]
        for layer in self.frozen:
            layer.trainable = False

    def fixed(self, images: tf.Tensor) -> tf.Tensor:
        """What training does not change: the output of the frozen blocks, or else the images."""
        if not self.frozen:
            return images
        return self._apply(self.frozen, self._prepare(images))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """From the output of `fixed`."""
        return self._apply(self.tuned, x if self.frozen else self._prepare(x))

    def _prepare(self, images):
        x = tf.cast(images, tf.float32)
        x = tf.image.grayscale_to_rgb(x) if x.shape[-1] == 1 else x
        return keras.applications.vgg16.preprocess_input(x)

    def _apply(self, layers, x):
        x = tf.cast(x, self.compute_dtype)
        for layer in layers:
            x = layer(x)
        return x


def _vgg16(image_shape, weights):
    """`keras.applications.VGG16` without its top."""
    local = None if weights == "none" else weights
    try:
        return keras.applications.VGG16(include_top=False, weights=local, input_shape=image_shape)
    except Exception as error:  # what Keras raises where a download fails
        if weights == "imagenet":
            raise UserError(
                "--weights=imagenet: keras.applications cannot download the weights "
                f"({in_one_line(error)}); name a local file of them by --weights=FILE, "
                "or train from random ones: --weights=none --frozen_blocks=0"
            ) from error
        raise UserError(
            f"--weights={weights}: not VGG16's convolutions in Keras' format ({in_one_line(error)})"
        ) from error


class EncoderTrunk(keras.layers.Layer):
    """The encoder of a run's architecture: uint8 [B, H, W, C] to the mean of z_L.

    Args:
      image_shape: (H, W, C).
      architecture: its name.
      width: of the run.
      precision: Keras policy.
    """

    def __init__(
        self, image_shape: _Shape, architecture: str, width: float, precision: str = "float32"
    ):
        super().__init__(autocast=False)
        table = ARCHITECTURES[architecture].adapt(image_shape[-1], width, dropout=False)
        self.encoder = Encoder(table, BatchNorms(), precision)

    def fixed(self, images: tf.Tensor) -> tf.Tensor:
        """The images: training changes all of the network."""
        return images

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """From the output of `fixed`."""
        gaussians, _ = self.encoder(to_signed(x), training=training)
        return gaussians[-1].mean


class AttributeClassifier(keras.Model):
    """A trunk and one sigmoid per attribute.

    An image is said to have an attribute if its probability is above the threshold, which is the
    share of training images that have it. For calibrated probabilities, this decision has the best
    balanced accuracy; with a threshold of one half, rare attributes would hardly ever be found.

    Args:
      trunk: `VGG16` or `EncoderTrunk`.
      names: of the A attributes.
      image_shape: (H, W, C).
      thresholds: float [A].
      seed: of flips and dropout.
      degraded: whether it also learns from degraded images.

    Attributes:
      VALUES: what training logs.
      degraded: as above.
    """

    VALUES = ("loss",)

    def __init__(
        self,
        trunk: VGG16 | EncoderTrunk,
        names: Sequence[str],
        image_shape: _Shape,
        thresholds: Sequence[float] | np.ndarray,
        seed: int = 0,
        degraded: bool = False,
    ):
        super().__init__()
        self.degraded = degraded
        self.names = tuple(names)
        self.image_shape = tuple(image_shape)
        self.thresholds = np.asarray(thresholds, np.float32)
        self.trunk = trunk
        # From zeros: the features' scale is not known, and large first logits would cost steps.
        self.head = keras.layers.Dense(len(self.names), kernel_initializer="zeros")
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._seed = seed
        self._probabilities = tf.function(self._from_images, reduce_retracing=True)
        self._loss = keras.metrics.Mean(name="loss")
        self.logits(trunk.fixed(tf.zeros([1, *self.image_shape], tf.uint8)))
        self.built = True

    def logits(
        self, features: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """From the output of the trunk's `fixed`, float32 [B, A]; `seed`, int32 [2], to train."""
        x = tf.cast(self.trunk(features, training=training), tf.float32)
        x = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        if training:
            x = random.dropout(x, 0.5, seed)
        return self.head(x)

    def _from_images(self, images):
        return tf.sigmoid(self.logits(self.trunk.fixed(images)))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """float32 [N, A] of uint8 images [N, H, W, C], any number of them."""
        parts = [
            self._probabilities(tf.constant(np.asarray(images[i : i + BATCH]))).numpy()
            for i in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts)

    def decide(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, A], 1 where an image has an attribute, of uint8 images [N, H, W, C]."""
        return (self.probabilities(images) > self.thresholds).astype(np.uint8)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of binary cross-entropy on (output of `fixed`, labels uint8 [B, A]).

        Images are augmented here (`_varied`); precomputed features are of augmented images already.
        """
        x, labels = data
        seed = random.fold([self._seed, 0], self.step)
        x = self._varied(x, seed) if x.dtype == tf.uint8 else x
        with tf.GradientTape() as tape:
            logits = self.logits(x, training=True, seed=random.fold(seed, _DROPOUT))
            labels = tf.cast(labels, tf.float32)
            loss = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        self.step.assign_add(1)
        self._loss.update_state(loss)
        return {"loss": self._loss.result()}

    def _varied(self, images, seed):
        """Mirrored at random and, if it learns from such, every second one degraded."""
        count = tf.shape(images)[0]
        mirrored = random.normal([count], random.fold(seed, _FLIP)) > 0
        images = _where(mirrored, images[:, :, ::-1], images)
        if not self.degraded:
            return images
        return _where(
            tf.range(count) % 2 == 1, degraded(images, random.fold(seed, _DEGRADE)), images
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What Keras resets at the beginning of an epoch."""
        return [self._loss]


def _where(chosen, x, y):
    """X where `chosen`, bool [B], else y; both [B, H, W, C]."""
    return tf.where(chosen[:, tf.newaxis, tf.newaxis, tf.newaxis], x, y)
