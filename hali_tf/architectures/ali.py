"""Tables of one level: ALI (Dumoulin et al., arXiv 1606.00704), and the trunks of HALI's tables.

What deviates from ALI's appendix is listed in `hali_tf.architectures.paper`.
"""

import dataclasses

from hali_tf.architectures.rows import (
    Architecture,
    Conv,
    ConvTranspose,
    Gaussian,
    Image,
    Level,
    Logit,
)


def one_level(two_level: Architecture) -> Architecture:
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
         dropout, activation="leaky_relu"):  # fmt: skip
    """One of ALI's own tables (its appendix): rows as (kernel, strides, feature maps)."""

    def d_row(index, kernel, strides, features):
        return Conv(features, kernel, strides, "valid", None if index == 0 else "weight",
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


def _ali_32(
    latent: int, slope: float, dropout: tuple[float, float], activation: str
) -> Architecture:
    """ALI's CIFAR10 and SVHN tables, which differ in latent, slope, dropout and maxout."""
    trunk = ((5, 1, 32), (4, 2, 64), (4, 1, 128), (4, 2, 256), (4, 1, 512))
    return _ali(
        (32, 32, 3), latent, slope,
        encoder=(*trunk, (1, 1, 512)),
        decoder=((4, 1, 256), (4, 2, 128), (4, 1, 64), (4, 2, 32), (5, 1, 32), (1, 1, 32)),
        discriminator=trunk,
        latent_features=512, joint_features=1024, dropout=dropout, activation=activation,
    )  # fmt: skip


ALI_CIFAR10 = _ali_32(64, 0.1, (0.2, 0.5), "maxout")
ALI_SVHN = _ali_32(256, 0.01, (0.2, 0.2), "leaky_relu")
ALI_CELEBA = _ali(
    (64, 64, 3),
    256,
    0.02,
    encoder=((2, 1, 64), (7, 2, 128), (5, 2, 256), (7, 2, 256), (4, 1, 512), (1, 1, 512)),
    decoder=((4, 1, 512), (7, 2, 256), (5, 2, 256), (7, 2, 128), (2, 1, 64), (1, 1, 64)),
    discriminator=((2, 1, 64), (7, 2, 128), (5, 2, 256), (7, 2, 256), (4, 1, 512)),
    latent_features=1024,
    joint_features=2048,
    dropout=(0.0, 0.2),
)
