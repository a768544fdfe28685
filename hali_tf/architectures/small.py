"""Small tables, which two cores learn in minutes to hours; they are not in the paper."""

import dataclasses

from hali_tf.architectures.rows import (
    Architecture,
    Conv,
    ConvTranspose,
    Gaussian,
    Image,
    Level,
    Logit,
    Residual,
    Table,
    Upsample,
    weight_norm,
)


def _small(image: tuple, discriminator: Table, second: Level) -> Architecture:
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
# still tell the levels apart, so that two cores learn them in minutes. In version 0.1.0, after
# 1,000 steps, the errors of level 1 and level 2 were 0.47 and 0.71 of that of random pairs; with a
# slope of 0.02 they were 0.68 and 0.94.
HALI_16 = _small(
    (16, 16, 1),
    (weight_norm(32, 3), weight_norm(64, 3, 2), weight_norm(64, 3)),
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
        discriminator=(
            weight_norm(64, 3),
            weight_norm(128, 3, 2),
            weight_norm(64, 4, padding="valid"),
        ),
    ),
)

# MNIST padded to 32x32: the paper has no table for it. Digits' rows, with one halving more after
# z_1. Where z_1 lies matters most: with one of 8x8x16, two halvings away from the image, level 1
# was still at 0.81 of the error of random pairs after 7,000 steps, and z_1 of the 32x32 tables
# stayed black for 3,000; with this one it is at 0.68 after 3,000.
HALI_MNIST = _small(
    (32, 32, 1),
    (weight_norm(16, 3), weight_norm(32, 3, 2), weight_norm(64, 3)),
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
            weight_norm(64, 3),
            weight_norm(64, 3, 2),
            weight_norm(128, 3, 2),
            weight_norm(64, 4, padding="valid"),
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
        (weight_norm(16, 3), weight_norm(32, 3, 2), weight_norm(32, 3)),
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
                *((weight_norm(64, 3, 2),) if larger else ()),
                weight_norm(64, 3, 2), weight_norm(64, 3, 2), weight_norm(128, 3, 2),
                weight_norm(128, 4, padding="valid"),
            ),
        ),
    )  # fmt: skip


HALI_64_SMALL = _hali_small(64)
HALI_128_SMALL = _hali_small(128)


def _in_blocks(table: Architecture) -> Architecture:
    """A small table that computes nothing at the image's own side, but on blocks of 2x2 pixels.

    Few feature maps at a high resolution are what a processor is slow at.
    """
    first, second = table.levels
    first = dataclasses.replace(
        first,
        encoder=(Conv(32, 4, strides=2, norm=None), *first.encoder[2:]),
        decoder=(*first.decoder[:2], Image(block=2)),
        discriminator=(weight_norm(32, 4, 2), *first.discriminator[2:]),
    )
    return dataclasses.replace(table, levels=(first, second))


HALI_64_FAST = _in_blocks(HALI_64_SMALL)
HALI_128_FAST = _in_blocks(HALI_128_SMALL)
