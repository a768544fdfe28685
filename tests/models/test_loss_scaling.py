"""Losses that are scaled against the small range of float16."""

import numpy as np
import pytest
import tensorflow as tf


def test_a_scaled_loss_scales_every_term(make_model, images):
    """The discriminator's penalty and the generator's cycle too; what is logged is unscaled."""
    settings = {"gradient_penalty": 3.0, "cycle_latents": 2.0, "dropout": False, "noise": 0.0}
    model = make_model(compiled=False, **settings)
    model.initialize_from_data(images)
    (plain, values), (scaled, scaled_values) = (
        model._two_pass_gradients(images, tf.constant([5, 6]), 0, tuple(map(tf.constant, scales)))
        for scales in ((1.0, 1.0), (8.0, 2.0))
    )
    for of_plain, of_scaled, factor in zip(plain, scaled, (8, 2)):
        assert len(of_plain) == len(of_scaled) > 0
        for gradient, larger in zip(of_plain, of_scaled):
            expected = factor * gradient.numpy()
            tolerance = 1e-5 * np.abs(expected).max() + 1e-12
            np.testing.assert_allclose(larger, expected, rtol=0, atol=tolerance)
    assert {"penalty", "cycle_latents_loss"} <= values.keys() and values["penalty"] > 0
    for name, value in values.items():
        assert float(scaled_values[name]) == pytest.approx(float(value), rel=1e-5), name
