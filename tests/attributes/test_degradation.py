"""Blurs against SciPy's, noise by its moments, draws by their seeds."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from hali_tf.attributes import degradation


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_blur_is_scipys(sigma):
    x = np.random.default_rng(0).random((2, 16, 12, 3), np.float32)
    expected = gaussian_filter(
        x, (0, sigma, sigma, 0), mode="reflect", radius=(0, *2 * [int(np.ceil(3 * sigma))], 0)
    )
    np.testing.assert_allclose(degradation._blur(tf.constant(x), sigma), expected, atol=1e-5)


def test_noise_has_a_sigma_of_its_own_for_each_image():
    grey = np.full((400, 16, 16, 1), 128, np.uint8)
    noise = np.std(degradation.degraded(grey, [0, 1]).numpy().astype(float), axis=(1, 2, 3))
    assert noise.min() < 1 and 28 < noise.max() < 33
    assert np.mean(noise) == pytest.approx(15, abs=2)


def test_images_get_each_of_the_blurs(monkeypatch):
    monkeypatch.setattr(degradation, "_NOISE", 0.0)
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    found = degradation.degraded(images, [0, 1]).numpy()
    blurs = [np.rint(degradation._blur(tf.cast(images, tf.float32), s / 2)) for s in range(4)]
    which = [[int(np.all(found[i] == blur[i])) for blur in blurs] for i in range(64)]
    assert np.all(np.sum(which, axis=1) == 1) and np.all(np.sum(which, axis=0) > 5)


def test_draws_follow_the_seed():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    one, same, other = (
        degradation.degraded(images, seed).numpy() for seed in ([0, 1], [0, 1], [0, 2])
    )
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
