"""Gaussian heads: linear means, bounded log sigma, float32 outputs."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.layers.gaussian import Gaussian, GaussianHead


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_sigma_stays_bounded_and_float32(policy):
    head = GaussianHead(3, dtype=policy)
    q = head(1e4 * tf.random.stateless_normal([4, 2, 2, 8], [0, 1]))
    assert q.mean.shape == q.stddev.shape == (4, 2, 2, 3)
    assert q.mean.dtype == q.stddev.dtype == tf.float32
    assert np.exp(-5.0) * 0.999 <= tf.reduce_min(q.stddev)
    assert tf.reduce_max(q.stddev) <= np.exp(1.0) * 1.001


def test_mean_and_log_sigma_by_numpy():
    x = np.random.default_rng(0).normal(size=(2, 1, 1, 5)).astype(np.float32)
    head = GaussianHead(2, log_sigma=-2.5)
    assert head(0 * x).stddev.numpy() == pytest.approx(np.exp(-2.5))
    q = head(x)
    raw = x[:, 0, 0] @ head.projection.kernel.numpy()[0, 0] + head.projection.bias.numpy()
    assert head.projection.bias.numpy()[:2].tolist() == [0, 0]
    np.testing.assert_allclose(q.mean[:, 0, 0], raw[:, :2], rtol=1e-5)
    np.testing.assert_allclose(
        q.stddev[:, 0, 0], np.exp(3 * np.tanh((raw[:, 2:] + 2) / 3) - 2), rtol=1e-4
    )


def test_sample_is_reparameterised():
    q = Gaussian(tf.constant([1.0, 2.0]), tf.constant([0.5, 3.0]))
    np.testing.assert_allclose(q.sample(tf.constant([2.0, -1.0])), [2.0, -1.0])
