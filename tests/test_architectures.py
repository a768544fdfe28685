"""Every table at full width: exact parameter counts, shapes of all levels, and its width rule."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.architectures import ARCHITECTURES
from hali_tf.architectures.rows import Conv
from hali_tf.layers.convolution import BatchNorms
from hali_tf.models.levels import Rows
from hali_tf.models.networks import Decoder, Discriminator, Encoder

# Trainable parameters of encoder, decoder and discriminator.
PARAMETERS = {
    "hali16": (70_512, 43_745, 389_473),
    "hali_mnist": (193_680, 114_593, 398_065),
    "hali32": (3_629_312, 7_643_427, 8_451_745),
    "hali64": (3_629_312, 7_643_427, 8_451_745),
    "hali64_small": (686_064, 676_675, 526_417),
    "hali64_fast": (682_512, 675_068, 522_881),
    "hali128": (5_202_176, 9_216_291, 21_034_657),
    "hali128_small": (695_344, 685_955, 563_409),
    "hali128_fast": (691_792, 684_348, 559_873),
    "ali16": (70_256, 43_489, 384_865),
    "ali32": (3_621_120, 7_635_235, 8_378_017),
    "ali64": (3_621_120, 7_635_235, 8_378_017),
    "ali64_small": (685_808, 676_419, 521_809),
    "ali64_fast": (682_256, 674_812, 518_273),
    "ali128": (5_193_984, 9_208_099, 20_960_929),
    "ali_cifar10": (3_118_496, 978_083, 10_370_561),
    "ali_svhn": (3_315_488, 1_764_515, 5_284_097),
    "ali_celeba": (6_794_880, 11_799_107, 15_191_105),
}


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_parameter_counts_and_shapes(name):
    architecture = ARCHITECTURES[name]
    encoder, decoder = Encoder(architecture, BatchNorms()), Decoder(architecture, BatchNorms())
    discriminator = Discriminator(architecture)
    x = tf.zeros([1, *architecture.image])
    gaussians, zs = encoder(x)
    for level, q, z in zip(architecture.levels, gaussians, zs):
        assert q.mean.shape == q.stddev.shape == z.shape == (1, *level.latent)
    for level in range(len(zs), 0, -1):  # the top one first, which builds all of them
        image, draws = decoder(zs[level - 1], level=level)
        assert image.shape == x.shape
        assert [z.shape for z in draws] == [z.shape for z in zs[:level]]
    assert discriminator(x, zs).shape == (1,)
    counts = tuple(
        int(sum(np.prod(v.shape) for v in network.trainable_variables))
        for network in (encoder, decoder, discriminator)
    )
    assert counts == PARAMETERS[name]


def test_label_stands_beside_the_top_latent():
    plain = ARCHITECTURES["hali16"]
    labelled = plain.with_label(10)
    assert [level.latent for level in labelled.levels] == [(8, 8, 8), (16 + 10,)]
    assert (plain.classes, labelled.classes) == (0, 10)
    encoder = Encoder(labelled, BatchNorms())
    (_, q), _ = encoder(tf.zeros([2, 16, 16, 1]))
    assert q.logits.shape == (2, 10) and q.mean.shape == q.stddev.shape == (2, 26)
    parameters = sum(int(np.prod(v.shape)) for v in encoder.trainable_variables)
    assert parameters == PARAMETERS["hali16"][0] + (64 + 1) * 10


def test_latents_of_the_paper():
    latents = {
        name: [level.latent for level in ARCHITECTURES[name].levels]
        for name in ("hali32", "hali64", "hali128")
    }
    assert latents == {
        "hali32": [(16, 16, 64), (256,)],
        "hali64": [(16, 16, 64), (256,)],
        "hali128": [(32, 32, 64), (256,)],
    }


def _features(architecture):
    rows = [row for level in architecture.levels for row in (*level.encoder, *level.discriminator)]
    return [row.features for row in (*rows, *architecture.joint) if isinstance(row, Conv)]


@pytest.mark.parametrize("width", [0.05, 0.3, 0.75, 2.0])
def test_width_keeps_feature_maps_multiples_of_16(width):
    full = _features(ARCHITECTURES["hali32"])
    scaled = _features(ARCHITECTURES["hali32"].adapt(3, width))
    assert all(n % 16 == 0 and n >= 16 for n in scaled)
    assert all(abs(n - width * f) <= 16 for n, f in zip(scaled, full))


def test_adapt_changes_channels_and_dropout_only_where_asked():
    architecture = ARCHITECTURES["ali_cifar10"]
    assert architecture.adapt(3) == architecture
    assert architecture.adapt(1).image == (32, 32, 1)
    rows = architecture.adapt(3, dropout=False).levels[0].discriminator
    assert {row.dropout for row in rows} == {0.0}


@pytest.mark.parametrize(
    ("name", "of_x", "of_z", "joint"),
    [
        # ALI's appendix: D(x), D(z), D(x, z).
        ("ali_cifar10", [0.2, 0.5, 0.5, 0.5, 0.5], [0.2, 0.5], [0.5, 0.5, 0.5]),
        ("ali_svhn", [0.2] * 5, [0.2, 0.2], [0.2, 0.2, 0.2]),
        ("ali_celeba", [0.0] * 5, [0.2, 0.2], [0.2, 0.2, 0.2]),
        # HALI's: D(x) and D(x, z_1), then D(x, z_1, z_2).
        ("hali64", [0.2, 0.5, 0.5, 0.5, 0.2, 0.5, 0.5, 0.5, 0.2], [], [0.5, 0.5, 0.5]),
    ],
)
def test_dropout_is_that_of_the_published_tables(name, of_x, of_z, joint):
    levels = ARCHITECTURES[name].levels
    assert [row.dropout for level in levels for row in level.discriminator] == of_x
    assert [row.dropout for level in levels for row in level.latent_discriminator] == of_z
    assert [row.dropout for row in ARCHITECTURES[name].joint] == joint


def test_dropout_is_of_what_goes_into_a_row():
    row = Conv(8, 1, norm=None, dropout=0.5, activation=None)
    rows = Rows((row,), slope=0.2)
    x = tf.random.stateless_normal([2, 4, 4, 8], [1, 2])
    plain, dropped = rows(x).numpy(), rows(x, training=True, seed=tf.constant([3, 4])).numpy()
    assert np.all(dropped != 0) and np.mean(dropped != plain) > 0.9
