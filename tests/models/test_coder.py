"""Coder against the model it wraps; scaled components and paths by hand."""

import numpy as np
import pytest

from hali_tf.measures import latents
from hali_tf.models.coder import Coder
from hali_tf.runs.reopening import load_run
from tests.exporting.runs import make_run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run") / "digits", width=0.1))[1]


def test_coder_is_the_model_in_batches(model):
    coder = Coder(model)
    assert (coder.image_shape, coder.num_levels) == ((16, 16, 1), 2)
    images = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 1), dtype=np.uint8)
    zs = coder.encode(images)
    for level, (z, q) in enumerate(zip(zs, model.encode(images)), start=1):
        np.testing.assert_allclose(z, q.mean, atol=1e-4)
        for own, whole in (
            (coder.decode(z, level), model.decode(q.mean, level)),
            (coder.reconstruct(images, level), model.reconstruct(images, level)),
        ):
            assert own.dtype == np.uint8
            assert np.abs(np.int32(own) - np.int32(whole)).max() <= 1  # a rounding
    for own, whole in zip(coder.decode_latents(zs[1], 2), model.decode_latents(zs[1])):
        np.testing.assert_allclose(own, whole, atol=1e-4)
    seeds = np.arange(3)
    assert np.abs(np.int32(coder.sample(seeds)) - np.int32(model.sample(seeds))).max() <= 1


def test_decoded_latents_lead_to_the_decoded_image(model):
    z_2 = np.random.default_rng(0).standard_normal((3, 16), np.float32)
    z_1, top = model.decode_latents(z_2)
    assert z_1.shape == (3, *model.latent_shapes[0])
    np.testing.assert_array_equal(top, z_2)
    np.testing.assert_array_equal(model.decode(z_1, 1), model.decode(z_2))


def test_scale_multiplies_one_component():
    vectors = np.array([[1, 2], [3, 4]], np.float32)
    np.testing.assert_array_equal(latents.scale(vectors, 1, -3.0), [[1, -6], [3, -12]])
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4]])
    maps = np.ones([1, 2, 2, 3], np.float32)
    np.testing.assert_array_equal(latents.scale(maps, 0, 5.0)[0, 1, 0], [5, 1, 1])


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
