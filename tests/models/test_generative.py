"""What evaluation and export use: shapes, ranges, and rows that do not depend on each other."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.layers import random
from hali_tf.models.generative import to_signed, to_uint8


@pytest.fixture(name="model", params=[1, 2, 3], scope="module")
def _model(request, make_model):
    """Averages that differ from the weights, batch norm statistics included."""
    model = make_model(request.param, compiled=False)
    for average, weight in model._averaged():
        average.assign(1.2 * weight + 0.01)
    return model


def test_shapes_types_and_independent_rows(model, images):
    levels = range(1, model.num_levels + 1)
    codes = model.encode(images)
    for level in levels:
        mean, stddev = codes[level - 1]
        assert mean.shape == stddev.shape == (8, *model.latent_shapes[level - 1])
        row = model.encode(images[3:4])[level - 1]
        np.testing.assert_allclose(row.mean[0], mean[3], atol=1e-5)
        np.testing.assert_allclose(row.stddev[0], stddev[3], rtol=1e-4)
        for whole, alone in (
            (model.decode(mean, level), model.decode(mean[3:4], level)),
            (model.reconstruct(images, level), model.reconstruct(images[3:4], level)),
        ):
            assert whole.dtype == tf.uint8 and whole.shape == images.shape
            assert np.abs(np.int32(alone[0]) - np.int32(whole[3])).max() <= 1  # a rounding
    assert model.decode(codes[-1].mean).shape == images.shape


def test_reconstruction_is_the_decoded_mean(model, images):
    for level in range(1, model.num_levels + 1):
        decoded = model.decode(model.encode(images)[level - 1].mean, level)
        np.testing.assert_array_equal(model.reconstruct(images, level), decoded)


def test_samples_follow_from_their_own_seed(model):
    seeds = tf.constant([3, -7, 2**40, 3], tf.int64)
    samples = np.int32(model.sample(seeds))
    assert samples.shape == (4, *model.image_shape)
    assert np.abs(samples[0] - samples[3]).max() <= 1
    assert np.abs(samples[0] - samples[1]).max() > 1
    assert np.abs(np.int32(model.sample(seeds[1:2]))[0] - samples[1]).max() <= 1


def test_samples_draw_every_level_on_the_way_down(model):
    seeds = tf.constant([3, -7], tf.int64)

    def noise(level):
        shape, level = model.latent_shapes[level - 1], tf.constant(level, tf.int64)
        return tf.stack([random.normal(shape, tf.stack([seed, level])) for seed in seeds])

    decoder, z = model.average.decoder, noise(model.num_levels)
    for level in range(model.num_levels - 1, 0, -1):
        z = decoder.levels[level](z).sample(noise(level))
    expected = np.int32(to_uint8(decoder.levels[0](z)))
    assert np.abs(np.int32(model.sample(seeds)) - expected).max() <= 1


def test_grey_levels_are_rounded_and_clipped():
    np.testing.assert_array_equal(to_uint8(to_signed(tf.range(256))), np.arange(256))
    np.testing.assert_array_equal(to_uint8(tf.constant([-2.0, 2.0])), [0, 255])


def test_discriminator_features(model, images):
    features = model.discriminator_features(images)
    assert features.shape == (8, 8) and features.dtype == tf.float32
    np.testing.assert_allclose(model.discriminator_features(images[2:3])[0], features[2], atol=1e-4)
    np.testing.assert_array_equal(model.discriminator_features(images), features)  # no dropout


def test_public_methods_use_the_averages(model, images):
    before = model.reconstruct(images, 1)
    weights = model.encoder.weights + model.decoder.weights
    kept = [weight.numpy() for weight in weights]
    for weight in weights:
        weight.assign(tf.zeros_like(weight))
    np.testing.assert_array_equal(model.reconstruct(images, 1), before)
    for weight, value in zip(weights, kept):
        weight.assign(value)


@pytest.mark.parametrize(("from_noise", "kept"), [(True, 0.1), (False, 0.9)])
def test_first_step_keeps_averages_that_are_not_of_noise(make_model, images, from_noise, kept):
    model = make_model(levels=1, ema_decay=0.9, from_noise=from_noise)
    pairs = list(model._averaged())
    for average, weight in pairs:
        average.assign(weight + 1)
    before = [average.numpy() for average, _ in pairs]
    model.train_step(images)
    for old, (average, weight) in zip(before, pairs):
        np.testing.assert_allclose(average, kept * old + (1 - kept) * weight, atol=1e-5)
