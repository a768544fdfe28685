"""A fixed space of image features, in which evaluations compare images: a Gabor pyramid.

Nothing in it is learned, so it is the same for every data set, needs no download, and favours no
model. The image is halved down to 8 pixels. At each scale, every position has the energy of
brightness waves in six orientations, divided by their joint strength so that faint edges count
too. The image itself at the coarsest scale is added. Averaged over 4 x 4 cells that is close to
GIST (Oliva and Torralba, 2001, https://doi.org/10.1023/A:1011139631724).

The features say where edges and textures are, their orientation, and which colour is where. They do
not say what is shown, as those of a network trained on ImageNet do: distances in this space are
neither Inception's FID nor LPIPS.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

NAME = "a Gabor pyramid (oriented energy per octave, and coarse colour; fixed, not learned)"

_ORIENTATIONS = 6
_WAVELENGTH, _SIGMA, _RADIUS = 4.0, 2.0, 4  # pixels of the scale
_SMALLEST = 8
_FAINT = 0.1  # energies are divided by sqrt(sum of their squares + this squared)
_CELLS = 4


def gabors() -> np.ndarray:
    """The filters, float32 [9, 9, 12]: even and odd of orientation 0, of 1, ...

    Orientation i is a wave along the direction i * 30 degrees from the x axis. The even ones have
    mean 0; the energy of a wave of amplitude 1 and the filters' own length is 1.
    """
    y, x = np.mgrid[-_RADIUS : _RADIUS + 1, -_RADIUS : _RADIUS + 1].astype(np.float64)
    envelope = np.exp(-(x**2 + y**2) / (2 * _SIGMA**2))
    filters = []
    for angle in np.arange(_ORIENTATIONS) * np.pi / _ORIENTATIONS:
        phase = 2 * np.pi / _WAVELENGTH * (x * np.cos(angle) + y * np.sin(angle))
        even, odd = envelope * np.cos(phase), envelope * np.sin(phase)
        even -= envelope * even.sum() / envelope.sum()
        filters += [even / (even * np.cos(phase)).sum(), odd / (odd * np.sin(phase)).sum()]
    return np.stack(filters, axis=-1).astype(np.float32)


@tf.function
def maps(images: tf.Tensor) -> list[tf.Tensor]:
    """The features at every position.

    Args:
      images: uint8 [B, H, W, C], H and W at least 16.

    Returns:
      List of float32 [B, h, w, F]: normalised energies at each scale, finest first, 0 to 1; last
      the image itself at the coarsest scale, 0 to 1.
    """
    image = tf.cast(images, tf.float32) / 255
    filters = gabors()[:, :, tf.newaxis]
    border = [[0, 0], [_RADIUS, _RADIUS], [_RADIUS, _RADIUS], [0, 0]]
    scales = []
    while True:
        brightness = tf.reduce_mean(image, axis=-1, keepdims=True)
        waves = tf.nn.conv2d(tf.pad(brightness, border, "SYMMETRIC"), filters, 1, "VALID")
        squares = waves[..., ::2] ** 2 + waves[..., 1::2] ** 2
        strength = tf.reduce_sum(squares, axis=-1, keepdims=True) + _FAINT**2
        scales.append(tf.sqrt(squares / strength))
        if min(image.shape[1:3]) < 2 * _SMALLEST:
            return [*scales, image]
        image = tf.nn.avg_pool2d(image, 2, 2, "VALID")


@tf.function
def distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """How differently two images look: LPIPS' formula (Zhang et al., 2018, Equation 1) on `maps`.

    Args:
      a: uint8 [B, H, W, C].
      b: the same.

    Returns:
      float32 [B]: squared distance of the features at a position, averaged over positions, summed
      over scales; 0 for equal images.
    """
    return distance_of_maps(maps(a), maps(b))


@tf.function
def distance_of_maps(a: list[tf.Tensor], b: list[tf.Tensor]) -> tf.Tensor:
    """`distance` of images whose `maps` are a and b."""
    return tf.add_n(
        [tf.reduce_mean(tf.reduce_sum((p - q) ** 2, axis=-1), axis=[1, 2]) for p, q in zip(a, b)]
    )


@tf.function
def embed(images: tf.Tensor) -> tf.Tensor:
    """One vector per image: `maps` averaged over 4 x 4 cells.

    Args:
      images: uint8 [B, H, W, C].

    Returns:
      float32 [B, D], 0 to 1; D = 16 * (6 * scales + C).
    """
    return tf.concat([_pool(features) for features in maps(images)], axis=-1)


def _pool(features):
    """[B, h, w, F] to [B, 16 * F]."""
    cell = [size // _CELLS for size in features.shape[1:3]]
    features = features[:, : _CELLS * cell[0], : _CELLS * cell[1]]
    return tf.reshape(
        tf.nn.avg_pool2d(features, cell, cell, "VALID"), [-1, _CELLS**2 * features.shape[-1]]
    )
