"""Layer tables in the form of the paper's appendix A.1, a row a layer.

Row order, normalisation, dropout and nonlinearity are the paper's. Kernels, strides and feature
maps did not survive in the text at hand; they are reconstructed from the shapes that must come
out and from the authors' other paper (ALI, arXiv 1606.00704), and marked "(r)" at each table.
Deviations that hold for all tables:

- Images are in [-1, 1] and the last decoder row is tanh, in the ALI tables too (ALI: sigmoid).
- Discriminators carry weight normalisation or none, never batch normalisation (ALI on SVHN and
  CelebA had it): an example's logit then depends on that example alone, which one backward pass
  for both players needs (see `hali_tf.models.hali`).
- ALI's untied biases (one a pixel) in the last layers are plain biases.
- "Gaussian" is its own linear 1x1 projection to mean and log sigma: read as one layer with the
  leaky ReLU above it, every mean would be positive.
"""

from __future__ import annotations

import dataclasses
from typing import Optional, Tuple, Union


_LANES = 16


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution, normalisation, nonlinearity, dropout.

    Attributes:
      features: feature maps, multiplied by the width of the run.
      kernel: side of the kernel.
      strides: 1 or more.
      padding: "same" or "valid".
      norm: "batch", "weight" or None.
      dropout: probability that an entry is dropped.
      activation: "leaky_relu", "maxout" (of two pieces) or None.
    """

    features: int
    kernel: int
    strides: int = 1
    padding: str = "same"
    norm: Optional[str] = "batch"
    dropout: float = 0.0
    activation: Optional[str] = "leaky_relu"


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
    """Convolution to the image's channels, tanh."""

    kernel: int = 3


@dataclasses.dataclass(frozen=True)
class Logit:
    """Linear 1x1 projection to one logit an example, dropout before it."""

    dropout: float = 0.0


Row = Union[Conv, ConvTranspose, Residual, Upsample, Gaussian, LabelledGaussian, Image, Logit]
Rows = Tuple[Row, ...]


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

    latent: Tuple[int, ...]
    encoder: Rows
    decoder: Rows
    discriminator: Rows
    latent_discriminator: Rows = ()


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

    image: Tuple[int, int, int]
    levels: Tuple[Level, ...]
    joint: Rows
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

    def with_label(self, classes: int) -> Architecture:
        """The same tables with a label y of `classes` values beside z_L (paper, Equation 9).

        The top latent, a vector, becomes [z_L, y]; the decoder takes it and the discriminator sees
        it as a whole, and the encoder's last row gives both.
        """
        *below, top = self.levels
        head = LabelledGaussian(classes, top.encoder[-1].log_sigma)
        top = dataclasses.replace(
            top, latent=(top.latent[0] + classes,), encoder=(*top.encoder[:-1], head)
        )
        return dataclasses.replace(self, levels=(*below, top), classes=classes)


def _weight(features, kernel, strides=1, dropout=0.0, padding="same", activation="leaky_relu"):
    return Conv(features, kernel, strides, padding, "weight", dropout, activation)


def _small(image: Tuple[int, int, int], discriminator: Rows, second: Level) -> Architecture:
    """A small table: z_1 one halving away from the image, no dropout.

    What tells them apart is the size, the discriminator's rows before z_1, and level 2.
    """
    height, width, _ = image
    first = Level(
        latent=(height // 2, width // 2, 8),
        encoder=(
            Conv(16, 3, norm=None),
            Conv(32, 3, strides=2),
            Residual(),
            Conv(32, 3, norm=None),
            Gaussian(-1.0),
        ),
        decoder=(Conv(32, 3), Residual(), Upsample(), Conv(16, 3), Image()),
        discriminator=discriminator,
    )
    joint = (Conv(256, 1, norm=None), Conv(256, 1, norm=None), Logit())
    return Architecture(image, (first, second), joint, leaky_slope=0.2)


# Digits, 16x16: not in the paper. The tables below in small, with the smallest latents that
# still tell the levels apart, so that two cores learn them in minutes. After 1,000 steps level 1
# rebuilds at 0.47 and level 2 at 0.71 of the error of random pairs; with a slope of 0.02 at 0.68
# and 0.94.
HALI_16 = _small(
    (16, 16, 1),
    (_weight(32, 3), _weight(64, 3, 2), _weight(64, 3)),
    Level(
        latent=(16,),
        encoder=(
            Conv(32, 3, strides=2),
            Conv(64, 4, padding="valid"),
            Gaussian(-1.0),
        ),
        decoder=(
            ConvTranspose(32, 4),
            Upsample(),
            Conv(32, 3, norm=None),
            Gaussian(-1.0),
        ),
        discriminator=(_weight(64, 3), _weight(128, 3, 2), _weight(64, 4, padding="valid")),
    ),
)

# MNIST padded to 32x32: the paper has no table for it. Digits' rows, with one halving more after
# z_1. Where z_1 lies matters most: with one of 8x8x16, two halvings away from the image, level 1 was
# still at 0.81 of the error of random pairs after 7,000 steps, and z_1 of the 32x32 tables stayed
# black for 3,000; with this one it is at 0.68 after 3,000.
HALI_MNIST = _small(
    (32, 32, 1),
    (_weight(16, 3), _weight(32, 3, 2), _weight(64, 3)),
    Level(
        latent=(32,),
        encoder=(
            Conv(32, 3, strides=2),
            Conv(64, 3, strides=2),
            Conv(128, 4, padding="valid"),
            Gaussian(-1.0),
        ),
        decoder=(
            ConvTranspose(64, 4),
            Upsample(),
            Conv(64, 3),
            Upsample(),
            Conv(32, 3, norm=None),
            Gaussian(-1.0),
        ),
        discriminator=(
            _weight(64, 3), _weight(64, 3, 2), _weight(128, 3, 2), _weight(64, 4, padding="valid")
        ),
    ),
)


def _hali_small(size: int) -> Architecture:
    """64x64 or 128x128 for two cores, which the paper's tables below keep busy for days.

    Without dropout, for hali64 at a quarter of its width, with 0.5, rebuilds nothing after 1,000
    steps. 128x128 images have one halving more after z_1.
    """
    larger = size == 128
    return _small(
        (size, size, 3),
        (_weight(16, 3), _weight(32, 3, 2), _weight(32, 3)),
        Level(
            latent=(64,),
            encoder=(
                *((Conv(32, 3, strides=2),) if larger else ()),
                Conv(32, 3, strides=2),
                Conv(64, 3, strides=2),
                Conv(128, 3, strides=2),
                Conv(256, 4, padding="valid"),
                Gaussian(-1.0),
            ),
            decoder=(
                ConvTranspose(256, 4),
                Upsample(),
                Conv(128, 3),
                Upsample(),
                Conv(64, 3),
                Upsample(),
                *((Conv(32, 3), Upsample()) if larger else ()),
                Conv(32, 3, norm=None),
                Gaussian(-1.0),
            ),
            discriminator=(
                *((_weight(64, 3, 2),) if larger else ()),
                _weight(64, 3, 2), _weight(64, 3, 2), _weight(128, 3, 2),
                _weight(128, 4, padding="valid"),
            ),
        ),
    )  # fmt: skip


def _hali(size: int, z_1_size: int) -> Architecture:
    """The appendix's tables for `size` x `size` images with z_1 of `z_1_size` x `z_1_size` x 64.

    The printed rows halve the image twice on the way to z_1 and z_1 three times on the way to the
    last convolution, which takes what is left (r). 32x32 images with z_1 at 16x16 leave room for
    one halving only: the second strided row has stride 1 and the second upsampling is left out.
    """
    second = 2 if size == 4 * z_1_size else 1
    second_upsample = (Upsample(),) if second == 2 else ()
    top = z_1_size // 8
    return Architecture(
        image=(size, size, 3),
        levels=(
            Level(
                latent=(z_1_size, z_1_size, 64),
                encoder=(
                    Conv(32, 3, norm=None),
                    Conv(64, 3, strides=2),
                    Residual(),
                    Residual(),
                    Conv(128, 3, strides=second),
                    Residual(),
                    Conv(128, 3, norm=None),
                    Gaussian(),
                ),
                decoder=(
                    Conv(128, 3),
                    Residual(),
                    *second_upsample,
                    Residual(),
                    Upsample(),
                    Conv(64, 3),
                    Conv(32, 3),
                    Image(),
                ),
                discriminator=(
                    _weight(32, 3, 1, dropout=0.2),
                    _weight(64, 3, 2, dropout=0.5),
                    _weight(64, 3, 1, dropout=0.5),
                    _weight(128, 3, second, dropout=0.5),
                ),
            ),
            Level(
                latent=(256,),
                encoder=(
                    Conv(128, 3, strides=2),
                    Conv(256, 3, strides=2),
                    Conv(256, 3, strides=2),
                    Residual(),
                    Conv(512, top, padding="valid"),
                    Gaussian(),
                ),
                decoder=(
                    ConvTranspose(512, top),
                    Upsample(),
                    Residual(),
                    Upsample(),
                    Conv(256, 3),
                    Conv(128, 3),
                    Upsample(),
                    Conv(128, 3, norm=None),
                    Gaussian(),
                ),
                discriminator=(
                    _weight(128, 3, 1, dropout=0.2),
                    _weight(256, 3, 2, dropout=0.5),
                    _weight(256, 3, 1, dropout=0.5),
                    _weight(512, 3, 2, dropout=0.5),
                    _weight(512, z_1_size // 4, padding="valid", dropout=0.2),
                ),
            ),
        ),
        joint=(
            Conv(1024, 1, norm=None, dropout=0.5),
            Conv(1024, 1, norm=None, dropout=0.5),
            Logit(dropout=0.5),
        ),
    )


def _one_level(two_level: Architecture) -> Architecture:
    """A one-level model with the trunk of a two-level one: z_1 becomes plain feature maps.

    The fair baseline: the same layers, the same latent at the top, no z_1 that the discriminator
    sees. Each Gaussian in the middle gives way to a convolution of the latent's feature maps.
    """
    first, second = two_level.levels
    middle = Conv(first.latent[-1], 1)
    return dataclasses.replace(
        two_level,
        levels=(
            Level(
                latent=second.latent,
                encoder=(*first.encoder[:-1], middle, *second.encoder),
                decoder=(*second.decoder[:-1], middle, *first.decoder),
                discriminator=(*first.discriminator, *second.discriminator),
            ),
        ),
    )


def _ali(image, latent, slope, encoder, decoder, discriminator, latent_features, joint_features,
         dropout, activation="leaky_relu", first_norm=None):  # fmt: skip
    """One of ALI's own tables (its appendix): rows as (kernel, strides, feature maps)."""

    def d_row(index, kernel, strides, features):
        return Conv(features, kernel, strides, "valid", first_norm if index == 0 else "weight",
                    dropout[0] if index == 0 else dropout[1], activation)  # fmt: skip

    return Architecture(
        image=image,
        leaky_slope=slope,
        levels=(
            Level(
                latent=(latent,),
                encoder=(*(Conv(f, k, s, "valid") for k, s, f in encoder), Gaussian()),
                decoder=(
                    *(ConvTranspose(f, k, s) for k, s, f in decoder[:-1]),
                    Conv(decoder[-1][2], decoder[-1][0]),
                    Image(kernel=1),
                ),
                discriminator=tuple(d_row(i, *r) for i, r in enumerate(discriminator)),
                latent_discriminator=tuple(
                    Conv(latent_features, 1, norm=None, dropout=dropout[0], activation=activation)
                    for _ in range(2)
                ),
            ),
        ),
        joint=(
            *(
                Conv(joint_features, 1, norm=None, dropout=dropout[1], activation=activation)
                for _ in range(2)
            ),
            Logit(dropout=dropout[1]),
        ),
    )


def _ali_32(latent, slope, dropout, activation) -> Architecture:
    """ALI's CIFAR10 and SVHN tables, which differ in latent, slope, dropout and maxout."""
    trunk = ((5, 1, 32), (4, 2, 64), (4, 1, 128), (4, 2, 256), (4, 1, 512))
    return _ali(
        (32, 32, 3), latent, slope,
        encoder=(*trunk, (1, 1, 512)),
        decoder=((4, 1, 256), (4, 2, 128), (4, 1, 64), (4, 2, 32), (5, 1, 32), (1, 1, 32)),
        discriminator=trunk,
        latent_features=512, joint_features=1024, dropout=dropout, activation=activation,
    )  # fmt: skip


HALI_64_SMALL = _hali_small(64)
HALI_128_SMALL = _hali_small(128)
HALI_32 = _hali(32, 16)
HALI_64 = _hali(64, 16)
HALI_128 = _hali(128, 32)

ARCHITECTURES = {
    "hali16": HALI_16,
    "hali_mnist": HALI_MNIST,
    "hali32": HALI_32,
    "hali64": HALI_64,
    "hali64_small": HALI_64_SMALL,
    "hali128": HALI_128,
    "hali128_small": HALI_128_SMALL,
    # One level, the two-level trunk.
    "ali16": _one_level(HALI_16),
    "ali32": _one_level(HALI_32),
    "ali64": _one_level(HALI_64),
    "ali64_small": _one_level(HALI_64_SMALL),
    "ali128": _one_level(HALI_128),
    # One level, ALI's own tables.
    "ali_cifar10": _ali_32(64, 0.1, (0.2, 0.5), "maxout"),
    "ali_svhn": _ali_32(256, 0.01, (0.2, 0.2), "leaky_relu"),
    "ali_celeba": _ali(
        (64, 64, 3), 256, 0.02,
        encoder=((2, 1, 64), (7, 2, 128), (5, 2, 256), (7, 2, 256), (4, 1, 512), (1, 1, 512)),
        decoder=((4, 1, 512), (7, 2, 256), (5, 2, 256), (7, 2, 128), (2, 1, 64), (1, 1, 64)),
        discriminator=((2, 1, 64), (7, 2, 128), (5, 2, 256), (7, 2, 256), (4, 1, 512)),
        latent_features=1024, joint_features=2048, dropout=(0.0, 0.2),
    ),
}  # fmt: skip
