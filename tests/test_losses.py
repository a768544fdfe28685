"""The losses at numbers computed by hand, against NumPy and SciPy, and the ratio of gradients."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

from hali_tf import losses
from hali_tf.layers.gaussian import Gaussian

LOG_2, LOG_3 = np.log(2.0), np.log(3.0)
# sigmoid: 0 -> 1/2, log 2 -> 2/3, -log 3 -> 1/4, log 3 -> 3/4.
S_Q = np.float32([0, LOG_2, -LOG_3, LOG_3])
S_P = np.float32([0, -LOG_3, LOG_2, LOG_3])


def test_discriminator_loss_by_hand():
    # -log sigmoid(s_q) - log(1 - sigmoid(s_p))
    expected = [
        -np.log(1 / 2) - np.log(1 / 2),
        -np.log(2 / 3) - np.log(3 / 4),
        -np.log(1 / 4) - np.log(1 / 3),
        -np.log(3 / 4) - np.log(1 / 4),
    ]
    np.testing.assert_allclose(sum(losses.discriminator_loss(S_Q, S_P)), expected, rtol=1e-6)


def test_generator_loss_by_hand():
    # -log(1 - sigmoid(s_q)) - log sigmoid(s_p)
    expected = [
        -np.log(1 / 2) - np.log(1 / 2),
        -np.log(1 / 3) - np.log(1 / 4),
        -np.log(3 / 4) - np.log(2 / 3),
        -np.log(1 / 4) - np.log(3 / 4),
    ]
    np.testing.assert_allclose(sum(losses.generator_loss(S_Q, S_P)), expected, rtol=1e-6)


def test_against_numpy_from_tiny_to_large_logits():
    s_q, s_p = np.random.default_rng(0).uniform(-30, 30, [2, 1000])
    q, p = tf.constant(s_q, tf.float32), tf.constant(s_p, tf.float32)
    softplus = lambda s: np.logaddexp(0, s)  # noqa: E731
    np.testing.assert_allclose(
        losses.discriminator_loss(q, p), [softplus(-s_q), softplus(s_p)], rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.generator_loss(q, p), [softplus(s_q), softplus(-s_p)], rtol=1e-5
    )


def test_label_loss_by_hand():
    # Softmax of (0, log 2, log 3, log 2) is (1, 2, 3, 2) / 8.
    logits = tf.constant([[0, LOG_2, LOG_3, LOG_2]] * 3, tf.float32)
    expected = [-np.log(1 / 8), -np.log(2 / 8), -np.log(3 / 8)]
    np.testing.assert_allclose(losses.label_loss(logits, [0, 1, 2]), expected, rtol=1e-6)


def test_latent_contrast_by_hand():
    # Squared distances to the own mean and to the other: 0 and 5; 1 and 2.
    z, mean = np.float32([[0, 0], [1, 1]]), np.float32([[0, 0], [2, 1]])
    expected = [np.log(1 + np.exp(-5 / 2)), np.log(1 + np.exp(-1 / 2))]
    np.testing.assert_allclose(losses.latent_contrast(mean, z), expected, rtol=1e-5)
    # An encoder that finds nothing has log B.
    blind = losses.latent_contrast(np.zeros([5, 3], np.float32), np.ones([5, 3], np.float32))
    np.testing.assert_allclose(blind, np.full(5, np.log(5)), rtol=1e-6)


def test_moment_loss_by_hand():
    # Of the two draws the kernel (1 + z.z')^2 is 1; with the prior's its mean is 2 and 5.
    z = np.float32([[1, 0], [0, 2]])
    np.testing.assert_allclose(losses.moment_loss(z), [(1 - 4 + 3) / 2, (1 - 10 + 3) / 2])


def test_moment_loss_is_an_unbiased_estimate():
    """Its mean over all pairs of draws from five points, each with a draw of its own."""
    points = np.random.default_rng(0).normal(0.3, 1.2, [5, 3]).astype(np.float32)
    pairs = [np.stack([a, b]) for a in points for b in points]
    mean, second = points.mean(0), points.T @ points / 5
    expected = (2 * mean @ mean + np.square(second - np.eye(3)).sum()) / 3
    estimates = [losses.moment_loss(pair) for pair in pairs]
    np.testing.assert_allclose(np.mean(estimates), expected, rtol=1e-5)


def test_moment_loss_of_a_single_draw_is_finite():
    assert np.isfinite(losses.moment_loss(np.ones([1, 3], np.float32))).all()


def test_consistency_counts_where_the_teacher_is_sure():
    # Its probabilities: (97, 2, 1) %, (94, 5, 1) % and (2, 2, 96) %; the second is unsure.
    teacher = np.log([[97, 2, 1], [94, 5, 1], [2, 2, 96]])
    logits = tf.constant([[LOG_2, 0.0, 0.0]] * 3, tf.float32)  # (1/2, 1/4, 1/4)
    expected = [-np.log(1 / 2), 0, -np.log(1 / 4)]
    with tf.GradientTape() as tape:
        teacher = tf.constant(teacher, tf.float32)
        tape.watch(teacher)
        loss = losses.consistency_loss(logits, teacher, np.full(3, -1))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert tape.gradient(loss, teacher) is None
    loss = losses.consistency_loss(logits, teacher, np.array([1, 1, 2]))  # another, none, the same
    np.testing.assert_allclose(loss, [0, 0, expected[2]], rtol=1e-6)


@pytest.mark.parametrize("logit", [-15.0, -3.0, 0.0, 3.0, 15.0])
def test_factors_turn_one_players_gradient_into_the_others(logit):
    s_q = s_p = tf.constant([logit])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(s_q)
        d, _ = losses.discriminator_loss(s_q, tf.zeros([1]))
        g, _ = losses.generator_loss(s_q, tf.zeros([1]))
    of_q, _ = losses.generator_over_discriminator(s_q, s_p)
    np.testing.assert_allclose(of_q * tape.gradient(d, s_q), tape.gradient(g, s_q), rtol=1e-5)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(s_p)
        _, d = losses.discriminator_loss(tf.zeros([1]), s_p)
        _, g = losses.generator_loss(tf.zeros([1]), s_p)
    _, of_p = losses.generator_over_discriminator(s_q, s_p)
    np.testing.assert_allclose(of_p * tape.gradient(d, s_p), tape.gradient(g, s_p), rtol=1e-5)


def test_factors_are_finite_at_any_logit():
    for factor in losses.generator_over_discriminator(
        tf.constant([1e4, -1e4]), tf.constant([-1e4, 1e4])
    ):
        assert np.isfinite(factor).all()


def test_log_likelihood_is_that_of_scipy():
    x, mean = np.random.default_rng(0).normal(size=(2, 3, 2, 2, 1)).astype("f")
    expected = stats.norm.logpdf(x, mean, 0.3).reshape(3, -1).sum(axis=1)
    actual = losses.log_likelihood(tf.constant(x), tf.constant(mean), tf.constant(0.3))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_kl_to_prior_by_hand():
    # KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s, summed over the entries
    mean, stddev = tf.constant([[0.0, 0.0], [1.0, 0.0], [0.0, -2.0]]), tf.constant([[1.0, 1.0]] * 3)
    np.testing.assert_allclose(losses.kl_to_prior(Gaussian(mean, stddev)), [0, 0.5, 2], atol=1e-6)
    two = losses.kl_to_prior(Gaussian(tf.zeros([1, 3]), tf.fill([1, 3], 2.0)))
    np.testing.assert_allclose(two, [3 * (1.5 - LOG_2)], rtol=1e-6)


@pytest.mark.parametrize("mean, stddev", [(0.7, 0.2), (-1.3, 2.5), (0.0, 0.01)])
def test_kl_to_prior_is_its_integral(mean, stddev):
    q, p = stats.norm(mean, stddev), stats.norm()
    expected, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *q.interval(1 - 1e-12)
    )
    maps = [tf.fill([1, 1, 1, 1], value) for value in (mean, stddev)]
    np.testing.assert_allclose(losses.kl_to_prior(Gaussian(*maps)), [expected], rtol=1e-5)
