"""The label beside the top latent: its moments, its draws and the gradient through them."""

import numpy as np
import tensorflow as tf

from hali_tf.layers.gaussian import Gaussian
from hali_tf.layers.label import LabelledGaussian, LabelledGaussianHead, decide

PROBABILITIES = np.float32([0.1, 0.2, 0.7])


def labelled(count):
    """`count` times z ~ N(2, 0.5^2) in two entries and y of `PROBABILITIES`."""
    gaussian = Gaussian(tf.fill([count, 2], 2.0), tf.fill([count, 2], 0.5))
    return LabelledGaussian(gaussian, tf.tile([np.log(PROBABILITIES) + 3], [count, 1]))


def test_mean_and_stddev_of_both_together():
    q = labelled(1)
    np.testing.assert_allclose(q.probabilities[0], PROBABILITIES, rtol=1e-5)
    np.testing.assert_allclose(q.mean[0], [2, 2, 0.1, 0.2, 0.7], rtol=1e-5)
    np.testing.assert_allclose(q.stddev[0], [0.5, 0.5, 0.3, 0.4, np.sqrt(0.21)], rtol=1e-5)


def test_draws_have_these_moments_and_are_one_hot():
    q = labelled(50000)
    draws = q.sample(tf.random.stateless_normal([50000, 5], [1, 2])).numpy()
    np.testing.assert_allclose(draws.mean(axis=0), q.mean[0], atol=0.01)
    np.testing.assert_allclose(draws.std(axis=0), q.stddev[0], atol=0.01)
    y = draws[:, 2:]
    np.testing.assert_allclose(np.sort(y, axis=1), np.tile([0.0, 0.0, 1.0], [50000, 1]), atol=1e-6)


def test_draws_are_finite_and_have_a_gradient_at_any_noise_and_logits():
    logits = tf.constant([[0.0, 0.0, 0.0], [200.0, 0.0, -200.0]] * 2)
    noise = tf.constant([[0.0, 9.0, -9.0, 9.0]] * 2 + [[0.0, 0.1, 0.2, 0.3]] * 2)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        q = LabelledGaussian(Gaussian(tf.zeros([4, 1]), tf.ones([4, 1])), logits)
        draws = q.sample(noise)
        loss = tf.reduce_sum(draws * [[0.0, 1.0, 2.0, 3.0]])
    gradient = tape.gradient(loss, logits).numpy()
    assert np.isfinite(draws).all() and np.isfinite(gradient).all()
    assert np.abs(gradient[0]).max() > 0 and np.abs(gradient[2]).max() > 0


def test_decide_keeps_z_and_makes_y_one_hot():
    z = tf.constant([[5.0, -1.0, 0.2, 0.7, 0.1], [6.0, 1.0, -3.0, -2.0, -1.0]])
    expected = [[5, -1, 0, 1, 0], [6, 1, 0, 0, 1]]
    np.testing.assert_allclose(decide(z, 3), expected)
    np.testing.assert_allclose(decide(decide(z, 3), 3), expected)


def test_normal_draws_decide_for_each_class_alike():
    z = tf.random.stateless_normal([60000, 7], [3, 4])
    counts = decide(z, 6).numpy()[:, 1:].sum(axis=0)
    np.testing.assert_allclose(counts, np.full(6, 10000), rtol=0.03)


def test_head_gives_both_parts_in_float32():
    head = LabelledGaussianHead(7, 3, log_sigma=-1.0, dtype="mixed_bfloat16")
    q = head(tf.ones([4, 1, 1, 8], tf.bfloat16))
    assert q.gaussian.mean.shape == (4, 1, 1, 4) and q.logits.shape == (4, 1, 1, 3)
    assert {part.dtype for part in tf.nest.flatten(q)} == {tf.float32}
