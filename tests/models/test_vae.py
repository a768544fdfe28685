"""The VAE: its ELBO against NumPy, its gradients, its sigma, its samples."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.layers import random
from hali_tf.models import VAE
from hali_tf.models.draws import POSTERIOR, Draws

SEED = tf.constant([5, 6])
ONE = (tf.constant(1.0),)


@pytest.fixture(name="make_vae")
def _make_vae(make_model):
    return functools.partial(make_model, 1, kind=VAE)


def _pass(model, images):
    """x, q, the decoded draw of z, as the step makes them."""
    x = tf.cast(images, tf.float32) / 127.5 - 1
    noise = Draws(SEED, len(images), 0).normal([6], POSTERIOR, 1)
    (q,), _ = model.encoder(x, [noise], training=True)
    return x, q, model.decoder(q.mean + q.stddev * noise, training=True)[0]


def test_elbo_is_that_of_numpy(make_vae, images):
    model = make_vae(compiled=False)
    model.variance.assign(0.3)
    x, q, decoded = _pass(model, images)
    x, mean, stddev, decoded = (np.float64(v) for v in (x, *q, decoded))
    squares = ((x - decoded) ** 2).reshape(8, -1)
    log_likelihood = -0.5 * (squares / 0.3 + np.log(2 * np.pi * 0.3)).sum(axis=1).mean()
    kl = 0.5 * (mean**2 + stddev**2 - 1 - 2 * np.log(stddev)).sum(axis=1).mean()
    _, values = model._gradients(tf.constant(images), SEED, 0, ONE)
    expected = {
        "log_likelihood": log_likelihood,
        "kl": kl,
        "elbo": log_likelihood - kl,
        "sigma_x": np.sqrt(0.3),
        "sigma_1": stddev.mean(),
    }
    assert {name: float(values[name]) for name in expected} == pytest.approx(expected, rel=1e-4)
    assert float(model.variance) == pytest.approx(0.95 * 0.3 + 0.05 * squares.mean(), rel=1e-4)


def test_gradients_are_those_of_the_elbo(make_vae, images):
    model = make_vae(compiled=False)
    model.variance.assign(0.3)
    variables = model.encoder.trainable_variables + model.decoder.trainable_variables
    with tf.GradientTape() as tape:
        x, (mean, stddev), decoded = _pass(model, images)
        negative_elbo = (
            (
                tf.reduce_sum((x - decoded) ** 2) / (2 * 0.3)
                + tf.reduce_sum(mean**2 + stddev**2 - tf.math.log(stddev**2)) / 2
            )
            / 8
            / 64
        )  # an image, an entry
    expected = tape.gradient(negative_elbo, variables)
    (actual,), _ = model._gradients(tf.constant(images), SEED, 0, ONE)
    assert len(actual) == len(expected) == len(variables)
    for a, b, variable in zip(actual, expected, variables):
        tolerance = 1e-4 * np.abs(b).max() + 1e-6
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=variable.name)


def test_xla_equals_no_xla(make_vae, images):
    plain, compiled = make_vae(), make_vae(jit_compile=True)
    batches = tf.data.Dataset.from_tensors(images).repeat(2)
    history = plain.fit(batches, verbose=0).history
    assert compiled.fit(batches, verbose=0).history == pytest.approx(
        {name: pytest.approx(value, rel=1e-3) for name, value in history.items()}
    )
    assert float(compiled.variance) == pytest.approx(float(plain.variance), rel=1e-4)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_stays_near_float32(make_vae, images, precision):
    batches = tf.data.Dataset.from_tensors(images)
    exact = make_vae().fit(batches, verbose=0).history
    model = make_vae(precision=precision, loss_scaling=precision == "mixed_float16")
    rough = model.fit(batches, verbose=0).history
    for name in ("elbo", "gradient"):  # the gradient is logged without the loss's scale
        assert rough[name] == pytest.approx(exact[name], rel=0.05)


def test_density_of_exact_images_is_bounded(make_vae, images):
    model = make_vae(compiled=False)
    model.variance.assign(0.0)
    gradients, values = model._gradients(tf.constant(images), SEED, 0, ONE)
    assert float(values["sigma_x"]) == pytest.approx(1 / 255)
    assert all(np.isfinite(v).all() for v in (*tf.nest.flatten(gradients), *values.values()))


def test_samples_are_decoded_draws_of_the_prior(make_vae):
    model = make_vae(compiled=False)
    seeds = np.arange(5, dtype=np.int64)
    z = tf.stack([random.normal([6], tf.stack([seed, tf.constant(1, tf.int64)])) for seed in seeds])
    difference = np.int32(model.sample(seeds)) - np.int32(model.decode(z))
    assert np.abs(difference).max() <= 1  # a rounding
