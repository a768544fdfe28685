"""Components and paths of latents by hand."""

import numpy as np
import pytest

from hali_tf.measures import latents


def test_scale_multiplies_one_component():
    vectors = np.array([[1, 2], [3, 4]], np.float32)
    np.testing.assert_array_equal(latents.scale(vectors, 1, -3.0), [[1, -6], [3, -12]])
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4]])
    maps = np.ones([1, 2, 2, 3], np.float32)
    np.testing.assert_array_equal(latents.scale(maps, 0, 5.0)[0, 1, 0], [5, 1, 1])


def test_scale_along_multiplies_the_component_along_an_axis():
    vectors = np.array([[1, 2], [3, 4]], np.float32)
    entry = np.float32([0, 1])
    by_entry = latents.scale_along(vectors, entry, -3.0)
    np.testing.assert_array_equal(by_entry, latents.scale(vectors, 1, -3.0))
    # The components along (0.6, 0.8) are 2.2 and 5; as much is added of them.
    between = latents.scale_along(vectors, np.float32([0.6, 0.8]), np.float64(2.0))
    assert between.dtype == np.float32
    np.testing.assert_allclose(between, [[2.32, 3.76], [6, 8]], rtol=1e-6)


def test_path_of_vectors_is_an_arc():
    path = latents.path(np.float32([2, 0]), np.float32([0, 2]), 3)
    np.testing.assert_allclose(path, [[2, 0], [2**0.5, 2**0.5], [0, 2]], atol=1e-6)
    assert path.dtype == np.float32


def test_path_of_maps_is_straight():
    a, b = np.zeros([2, 2, 1], np.float32), np.ones([2, 2, 1], np.float32)
    np.testing.assert_allclose(latents.path(a, b, 5)[:, 1, 1, 0], [0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize("b", [[1, 0], [-1, 0], [0, 0]])
def test_path_without_an_arc_is_straight(b):
    path = latents.path(np.float32([1, 0]), np.float32(b), 3)
    np.testing.assert_allclose(path, [[1, 0], np.add([1, 0], b) / 2, b], atol=1e-6)
