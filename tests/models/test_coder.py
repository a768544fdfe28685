"""Coder against the model it wraps."""

import numpy as np
import pytest

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
    means, rebuilt = coder.rebuild(images)
    for own, z, mean, level in zip(rebuilt, zs, means, (1, 2)):
        np.testing.assert_allclose(mean, z, atol=1e-4)
        assert own.shape == images.shape and own.dtype == np.uint8
        assert np.abs(np.int32(own) - np.int32(coder.decode(z, level))).max() <= 1
    for own, whole in zip(coder.decode_latents(zs[1]), model.decode_latents(zs[1])):
        np.testing.assert_allclose(own, whole, atol=1e-4)
    seeds = np.arange(3)
    assert np.abs(np.int32(coder.sample(seeds)) - np.int32(model.sample(seeds))).max() <= 1


def test_decoded_latents_lead_to_the_decoded_image(model):
    z_2 = np.random.default_rng(0).standard_normal((3, 16), np.float32)
    z_1, top = model.decode_latents(z_2)
    assert z_1.shape == (3, *model.latent_shapes[0])
    np.testing.assert_array_equal(top, z_2)
    np.testing.assert_array_equal(model.decode(z_1, 1), model.decode(z_2))
