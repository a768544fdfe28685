"""A toy architecture of any number of levels, and models of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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
from hali_tf.models import HALI


def toy(levels=2):
    """8x8 grey images; feature maps of 4x4, 2x2, ... and a vector of 6 at the top."""
    first = Level(
        latent=(4, 4, 3),
        encoder=(Conv(6, 3, norm=None), Conv(6, 3, strides=2), Residual(), Gaussian()),
        decoder=(Conv(6, 3), Upsample(), Residual(), Conv(6, 3), Image()),
        discriminator=(weight_norm(6, 3), weight_norm(6, 3, 2, dropout=0.2)),
    )
    middle = Level(
        latent=(2, 2, 4),
        encoder=(Conv(6, 3, strides=2), Gaussian()),
        decoder=(Upsample(), Conv(6, 3), Gaussian()),
        discriminator=(weight_norm(6, 3, 2, dropout=0.5),),
    )
    side = {1: 8, 2: 4, 3: 2}[levels]
    top = Level(
        latent=(6,),
        encoder=(Conv(8, side, padding="valid"), Gaussian()),
        decoder=(ConvTranspose(8, side), Image() if levels == 1 else Gaussian()),
        discriminator=(weight_norm(8, side, padding="valid"),),
    )
    joint = (Conv(8, 1, norm=None, dropout=0.5), Logit(dropout=0.2))
    return Architecture((8, 8, 1), (first, middle, top)[: levels - 1] + (top,), joint)


def make_model(
    levels=2,
    dropout=True,
    compiled=True,
    loss_scaling=False,
    epsilon=1e-7,
    kind=HALI,
    classes=0,
    **settings,
):
    """A model of the toy architecture with weights that follow from a fixed seed.

    With `classes` its table has a label.
    """
    keras.utils.set_random_seed(1)
    table = toy(levels).adapt(1, dropout=dropout)
    model = kind(table.with_label(classes) if classes else table, **settings)
    if compiled:
        players = [keras.optimizers.Adam(1e-3, 0.5, epsilon=epsilon) for _ in kind.NORMS]
        if loss_scaling:
            players = [
                keras.mixed_precision.LossScaleOptimizer(player, initial_scale=1024.0)
                for player in players
            ]
        model.compile(*players)
    return model


@pytest.fixture(name="make_model", scope="session")
def _make_model():
    return make_model


@pytest.fixture(scope="session")
def two_replicas():
    """MirroredStrategy over both logical CPUs.

    One for all tests: a second one in the process would number its collective operations from the
    start again, and TensorFlow takes them for the first one's and reports mismatched shapes.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def images():
    """uint8 [8, 8, 8, 1]."""
    return np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
