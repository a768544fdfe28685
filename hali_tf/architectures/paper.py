"""HALI's tables (paper, appendix A.1).

Row order, normalisation, dropout and nonlinearity are the paper's. Kernels, strides and feature
maps did not survive in the text at hand; they are reconstructed from the shapes that must come
out and from the authors' other paper (ALI, arXiv 1606.00704).
Deviations that hold for all tables, ALI's too:

- Images are in [-1, 1] and the last decoder row is tanh (ALI: sigmoid).
- Discriminators carry weight normalisation or none, never batch normalisation (ALI on SVHN and
  CelebA had it): an example's logit then depends on that example alone, which one backward pass
  for both players needs (see `hali_tf.models.hali`).
- ALI's untied biases, one per pixel, in the last layers are plain biases.
- "Gaussian" is its own linear 1x1 projection to mean and log sigma: read as one layer with the
  leaky ReLU above it, every mean would be positive.
"""

from hali_tf.architectures.rows import (
    Architecture,
    Conv,
    ConvTranspose,
    Gaussian,
    Image,
    Level,
    Logit,
    Residual,
    Upsample,
    weight_norm,
)


def _hali(size: int, z_1_size: int) -> Architecture:
    """Returns the appendix's tables for images of `size` with z_1 of `z_1_size`, both in pixels.

    The printed rows halve the image twice on the way to z_1 and z_1 three times on the way to the
    last convolution, which takes what is left. 32x32 images with z_1 at 16x16 leave room for
    one halving only: the second strided row has stride 1 and the first upsampling is left out.
    """
    return Architecture(
        image=(size, size, 3),
        levels=(_level_1(z_1_size, 2 if size == 4 * z_1_size else 1), _level_2(z_1_size)),
        joint=(
            Conv(1024, 1, norm=None, dropout=0.5),
            Conv(1024, 1, norm=None, dropout=0.5),
            Logit(dropout=0.5),
        ),
    )


def _level_1(size: int, second: int) -> Level:
    """Returns x <-> z_1 of `size` x `size` x 64; the second strided row has stride `second`."""
    first_upsample = (Upsample(),) if second == 2 else ()
    return Level(
        latent=(size, size, 64),
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
            *first_upsample,
            Residual(),
            Upsample(),
            Conv(64, 3),
            Conv(32, 3),
            Image(),
        ),
        discriminator=(
            weight_norm(32, 3, 1, dropout=0.2),
            weight_norm(64, 3, 2, dropout=0.5),
            weight_norm(64, 3, 1, dropout=0.5),
            weight_norm(128, 3, second, dropout=0.5),
        ),
    )


def _level_2(z_1_size: int) -> Level:
    """Returns z_1 <-> z_2; z_1 is of `z_1_size` x `z_1_size` x 64."""
    top = z_1_size // 8
    return Level(
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
            weight_norm(128, 3, 1, dropout=0.2),
            weight_norm(256, 3, 2, dropout=0.5),
            weight_norm(256, 3, 1, dropout=0.5),
            weight_norm(512, 3, 2, dropout=0.5),
            weight_norm(512, z_1_size // 4, padding="valid", dropout=0.2),
        ),
    )


HALI_32 = _hali(32, 16)
HALI_64 = _hali(64, 16)
HALI_128 = _hali(128, 32)
