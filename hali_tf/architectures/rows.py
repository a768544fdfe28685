"""The vocabulary of layer tables: rows, the levels that they make, and whole architectures.

A table reads like one of the paper's appendix A.1, with one layer per row.
"""

from __future__ import annotations

import dataclasses
from typing import Union

_LANES = 16


@dataclasses.dataclass(frozen=True)
class Conv:
    """Dropout, convolution, normalisation, nonlinearity.

    Attributes:
      features: feature maps, multiplied by the width of the run.
      kernel: side of the kernel.
      strides: 1 or more.
      padding: "same" or "valid".
      norm: "batch", "weight" or None.
      dropout: probability that an entry of the input is dropped. The papers' tables name one per
        row; ALI's code drops entries of what goes into that row's convolution
        (https://github.com/IshmaelBelghazi/ALI, experiments/ali_cifar10.py).
      activation: "leaky_relu", "maxout" (of two pieces) or None.
    """

    features: int
    kernel: int
    strides: int = 1
    padding: str = "same"
    norm: str | None = "batch"
    dropout: float = 0.0
    activation: str | None = "leaky_relu"


@dataclasses.dataclass(frozen=True)
class ConvTranspose:
    """Transposed convolution without padding ("T" in ALI's tables), batch norm, leaky ReLU."""

    features: int
    kernel: int
    strides: int = 1


@dataclasses.dataclass(frozen=True)
class Residual:
    """x + BN(conv3x3(LReLU(BN(conv3x3(x))))), then leaky ReLU; keeps shape and feature maps."""


@dataclasses.dataclass(frozen=True)
class Upsample:
    """Bilinear, times two."""


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Linear 1x1 projection to mean and log sigma of the level's latent.

    Attributes:
      log_sigma: where log sigma starts. The lower, the more of x shows in z_1 from the first step
        on, for the discriminator to find.
    """

    log_sigma: float = -2.5


@dataclasses.dataclass(frozen=True)
class LabelledGaussian:
    """A `Gaussian`, and beside it a linear 1x1 projection to the logits of the label y.

    Attributes:
      classes: K, the values of y.
      log_sigma: as of `Gaussian`.
    """

    classes: int
    log_sigma: float = -2.5


@dataclasses.dataclass(frozen=True)
class Image:
    """Convolution to the image's channels, tanh.

    Attributes:
      kernel: side of the kernel.
      block: side of the square of pixels that each position becomes; with 2 the image has twice
        the side of the feature maps (sub-pixel convolution, Shi et al., arXiv 1609.05158), averaged
        over neighbours; see `layers.convolution.Pixels`.
    """

    kernel: int = 3
    block: int = 1


@dataclasses.dataclass(frozen=True)
class Logit:
    """Linear 1x1 projection to one logit per example, dropout before it."""

    dropout: float = 0.0


Row = Union[Conv, ConvTranspose, Residual, Upsample, Gaussian, LabelledGaussian, Image, Logit]
Table = tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of the hierarchy, z_{l-1} <-> z_l.

    Attributes:
      latent: shape of z_l, (h, w, c), or (d,) for a vector.
      encoder: rows of q(z_l | z_{l-1}), the last a Gaussian.
      decoder: rows of p(z_{l-1} | z_l), the last a Gaussian, or an Image for level 1.
      discriminator: rows on the features so far, before z_l is concatenated to them.
      latent_discriminator: rows on z_l before it is concatenated (ALI's D(z)).
    """

    latent: tuple[int, ...]
    encoder: Table
    decoder: Table
    discriminator: Table
    latent_discriminator: Table = ()


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The whole network.

    Attributes:
      image: (H, W, C) of x = z_0.
      levels: level 1 first.
      joint: the discriminator's rows on all levels together, the last a Logit.
      leaky_slope: slope of the leaky ReLU below zero.
      classes: K, where the top latent is [z_L, y] with a label y of K values; else 0.
    """

    image: tuple[int, int, int]
    levels: tuple[Level, ...]
    joint: Table
    leaky_slope: float = 0.02
    classes: int = 0

    def adapt(self, channels: int, width: float = 1.0, dropout: bool = True) -> Architecture:
        """The same tables for images of other channels, other width, or without dropout.

        Feature maps times `width` are rounded to multiples of 16, the floats of an AVX-512
        register: on CPU a convolution of 40 feature maps takes as long as one of 48.
        """

        def row(r):
            if hasattr(r, "features"):
                features = max(_LANES, _LANES * round(r.features * width / _LANES))
                r = dataclasses.replace(r, features=r.features if width == 1 else features)
            if hasattr(r, "dropout") and not dropout:
                r = dataclasses.replace(r, dropout=0.0)
            return r

        def level(lv):
            tables = ("encoder", "decoder", "discriminator", "latent_discriminator")
            return dataclasses.replace(
                lv, **{name: tuple(map(row, getattr(lv, name))) for name in tables}
            )

        return dataclasses.replace(
            self,
            image=(*self.image[:2], channels),
            levels=tuple(map(level, self.levels)),
            joint=tuple(map(row, self.joint)),
        )

    def of_images_alone(self) -> Architecture:
        """The tables of a discriminator of x alone: D's rows on the features, without latents."""
        rows = (row for level in self.levels for row in level.discriminator)
        return dataclasses.replace(self, levels=(), joint=(*rows, *self.joint), classes=0)

    def with_label(self, classes: int) -> Architecture:
        """The same tables with a label y of `classes` values beside z_L (paper, Equation 9).

        The top latent, a vector, becomes [z_L, y]; the decoder takes it and the discriminator sees
        it as a whole, and the encoder's last row gives both.
        """
        *below, top = self.levels
        gaussian = top.encoder[-1]
        assert isinstance(gaussian, Gaussian)
        head = LabelledGaussian(classes, gaussian.log_sigma)
        top = dataclasses.replace(
            top, latent=(top.latent[0] + classes,), encoder=(*top.encoder[:-1], head)
        )
        return dataclasses.replace(self, levels=(*below, top), classes=classes)


def weight_norm(
    features: int,
    kernel: int,
    strides: int = 1,
    dropout: float = 0.0,
    padding: str = "same",
) -> Conv:
    """A `Conv` with weight normalisation, as discriminators have."""
    return Conv(features, kernel, strides, padding, "weight", dropout)
