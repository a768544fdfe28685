"""The Gabor pyramid against SciPy's correlation and NumPy's sums."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate2d

from hali_tf.measures import features


def images_of(count, size, channels=1):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def energies(brightness):
    """`features.maps` of one scale, [h, w] to [h, w, 6], by SciPy."""
    padded = np.pad(brightness, 4, mode="symmetric")
    waves = np.stack(
        [correlate2d(padded, kernel, "valid") for kernel in np.moveaxis(features.gabors(), -1, 0)],
        axis=-1,
    )
    squares = waves[..., 0::2] ** 2 + waves[..., 1::2] ** 2
    return np.sqrt(squares / (squares.sum(-1, keepdims=True) + 0.01))


def halved(image):
    h, w, c = image.shape
    return image.reshape(h // 2, 2, w // 2, 2, c).mean((1, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_equal_scipys(channels):
    images = images_of(2, 32, channels)
    maps = [m.numpy() for m in features.maps(images)]
    assert [m.shape for m in maps] == [
        (2, 32, 32, 6),
        (2, 16, 16, 6),
        (2, 8, 8, 6),
        (2, 8, 8, channels),
    ]
    for i, image in enumerate(images / 255):
        for scale in maps[:-1]:
            np.testing.assert_allclose(scale[i], energies(image.mean(-1)), atol=2e-5)
            coarsest, image = image, halved(image)
        np.testing.assert_allclose(maps[-1][i], coarsest, atol=1e-6)


@pytest.mark.parametrize("orientation", range(6))
def test_a_wave_answers_in_its_own_orientation(orientation):
    angle = orientation * np.pi / 6
    y, x = np.mgrid[:32, :32]
    wave = np.cos(2 * np.pi / 4 * (x * np.cos(angle) + y * np.sin(angle)))
    image = np.rint(127.5 + 127.5 * wave).astype(np.uint8)[None, ..., None]
    middle = features.maps(image)[0].numpy()[0, 8:-8, 8:-8].mean((0, 1))
    assert np.argmax(middle) == orientation
    assert middle[orientation] > 2 * np.delete(middle, orientation).max()


def test_flat_images_have_no_energy_and_keep_their_colour():
    image = np.full((1, 16, 16, 3), (255, 51, 0), np.uint8)
    *scales, colour = features.maps(image)
    for scale in scales:
        np.testing.assert_allclose(scale, 0, atol=1e-4)
    np.testing.assert_allclose(colour, np.broadcast_to([1, 0.2, 0], (1, 8, 8, 3)), atol=1e-6)


def test_distance_is_lpips_formula_on_the_maps():
    a, b = images_of(6, 16, 3).reshape(2, 3, 16, 16, 3)
    expected = sum(
        ((p.numpy() - q.numpy()) ** 2).sum(-1).mean((1, 2))
        for p, q in zip(features.maps(a), features.maps(b))
    )
    np.testing.assert_allclose(features.distance(a, b), expected, rtol=1e-5)
    np.testing.assert_allclose(features.distance(b, a), expected, rtol=1e-5)
    np.testing.assert_array_equal(features.distance(a, a), 0)


def test_distance_grows_with_blur_and_with_noise():
    image = gaussian_filter(images_of(1, 32)[0, ..., 0].astype(float), 1)
    image = np.clip((image - image.mean()) * 3 + 128, 0, 255)
    noise = np.random.default_rng(1).standard_normal(image.shape)

    def distance(changed):
        changed = np.clip(changed, 0, 255)
        pair = [np.rint(x).astype(np.uint8)[None, ..., None] for x in (image, changed)]
        return float(features.distance(*pair)[0])

    blurred = [distance(gaussian_filter(image, sigma)) for sigma in (0.5, 1, 2)]
    noisy = [distance(image + sigma * noise) for sigma in (10, 20, 40)]
    assert 0 < blurred[0] < blurred[1] < blurred[2]
    assert 0 < noisy[0] < noisy[1] < noisy[2]


@pytest.mark.parametrize("size", [20, 22, 44])
def test_sizes_that_cells_do_not_divide_are_cut(size):
    images = images_of(1, size, 3)
    assert features.embed(images).shape[1] == 16 * (6 * len(features.maps(images)[:-1]) + 3)


@pytest.mark.parametrize("size, scales", [(16, 2), (32, 3), (64, 4), (128, 5)])
def test_embedding_is_the_mean_over_cells(size, scales):
    images = images_of(2, size, 3)
    embedded = features.embed(images).numpy()
    assert embedded.shape == (2, 16 * (6 * scales + 3))
    first = features.maps(images)[0].numpy()
    cell = size // 4
    expected = first.reshape(2, 4, cell, 4, cell, 6).mean((2, 4)).reshape(2, -1)
    np.testing.assert_allclose(embedded[:, : 16 * 6], expected, atol=1e-5)
