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


def _ali(
    image, latent, slope, encoder, decoder, discriminator, latent_discriminator, joint,
    activation="leaky_relu",
):  # fmt: skip
    """One of ALI's own tables (its appendix).

    The hidden rows of encoder and decoder are (kernel, strides, feature maps); those of D(x) have
    the dropout beside these. The rows of D(z) and D(x, z) are (feature maps, dropout), and the last
    one is the logit.
    """

    def of_latents(features, dropout):
        return Conv(features, 1, norm=None, dropout=dropout, activation=activation)

    return Architecture(
        image=image,
        leaky_slope=slope,
        levels=(
            Level(
                latent=(latent,),
                encoder=(*(Conv(f, k, s, "valid") for k, s, f in encoder), Gaussian()),
                # A transposed convolution of 1x1 is a plain one.
                decoder=(
                    *(ConvTranspose(f, k, s) if k > 1 else Conv(f, k) for k, s, f in decoder),
                    Image(kernel=1),
                ),
                discriminator=tuple(
                    Conv(f, k, s, "valid", "weight" if i else None, dropout, activation)
                    for i, (k, s, f, dropout) in enumerate(discriminator)
                ),
                latent_discriminator=tuple(of_latents(*row) for row in latent_discriminator),
            ),
        ),
        joint=(*(of_latents(*row) for row in joint[:-1]), Logit(dropout=joint[-1][1])),
    )


def _ali_32(latent: int, slope: float, dropout: float, activation: str) -> Architecture:
    """ALI's CIFAR10 and SVHN tables, which differ in latent, slope, dropout and nonlinearity.

    `dropout` is that of all rows but the first of D(x) and of D(z), which have 0.2.
    """
    trunk = ((5, 1, 32), (4, 2, 64), (4, 1, 128), (4, 2, 256), (4, 1, 512))
    return _ali(
        (32, 32, 3), latent, slope,
        encoder=(*trunk, (1, 1, 512)),
        decoder=((4, 1, 256), (4, 2, 128), (4, 1, 64), (4, 2, 32), (5, 1, 32), (1, 1, 32)),
        discriminator=tuple((*row, dropout if i else 0.2) for i, row in enumerate(trunk)),
        latent_discriminator=((512, 0.2), (512, dropout)),
        joint=((1024, dropout), (1024, dropout), (1, dropout)),
        activation=activation,
    )  # fmt: skip


ALI_CIFAR10 = _ali_32(64, 0.1, 0.5, "maxout")
ALI_SVHN = _ali_32(256, 0.01, 0.2, "leaky_relu")
ALI_CELEBA = _ali(
    (64, 64, 3), 256, 0.02,
    encoder=((2, 1, 64), (7, 2, 128), (5, 2, 256), (7, 2, 256), (4, 1, 512)),
    decoder=((4, 1, 512), (7, 2, 256), (5, 2, 256), (7, 2, 128), (2, 1, 64)),
    discriminator=(
        (2, 1, 64, 0.0), (7, 2, 128, 0.0), (5, 2, 256, 0.0), (7, 2, 256, 0.0), (4, 1, 512, 0.0),
    ),
    latent_discriminator=((1024, 0.2), (1024, 0.2)),
    joint=((2048, 0.2), (2048, 0.2), (1, 0.2)),
)  # fmt: skip
