"""Rematerialisation: the plain step, with activations that are not kept."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.layers.remat import rematerialised
from hali_tf.models import VAE
from tests.models.halves import assert_trains_equally


@pytest.fixture(name="as_written")
def _as_written():
    """Graphs run as they are: what TensorFlow fuses rounds otherwise, in bfloat16 by a lot."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **before})


@pytest.mark.usefixtures("as_written")
@pytest.mark.parametrize(
    "settings",
    [
        {
            "gradient_penalty": 3.0,
            "hybrid_joints": (0.5,),
            "image_discriminator": True,
            "levels": 1,
        },
        {"accumulate": 2, "precision": "mixed_bfloat16", "levels": 1},
        {"kind": VAE, "levels": 1},
    ],
    ids=["HALI", "micro-batches", "VAE"],
)
def test_step_equals_the_plain_one(make_model, images, settings):
    """With noise and dropout; moving statistics are recorded once."""
    settings = {"epsilon": 1e-3, **settings}
    plain, model = make_model(**settings), make_model(**settings, remat=True)
    assert_trains_equally(model, plain, images, steps=2, statistics=1e-6)


def test_layers_are_computed_again_in_the_backward_pass(make_model, images):
    def convolutions(**settings):
        model = make_model(levels=1, compiled=False, **settings)
        step = tf.function(
            lambda x: model._one_pass_gradients(x, tf.constant([0, 0]), 0, None), autograph=False
        )
        graph = step.get_concrete_function(tf.constant(images)).graph
        return sum(operation.type == "Conv2D" for operation in graph.get_operations())

    # A transposed convolution's gradient is a Conv2D; only forward ones double.
    plain, again = convolutions(), convolutions(remat=True)
    assert 1.5 * plain < again <= 2 * plain


def test_gradients_of_gradients_and_statistics():
    weight, calls = tf.Variable([2.0, 3.0]), tf.Variable(0.0, trainable=False)

    def cube(x):
        calls.assign_add(1.0)
        return weight * x**3

    x = tf.constant([1.0, -2.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = rematerialised(cube, x, [calls])
        slope = inner.gradient(y, x)
    np.testing.assert_allclose(slope, weight * 3 * x**2)
    of_x, of_weight = outer.gradient(slope, [x, weight])
    np.testing.assert_allclose(of_x, weight * 6 * x)
    np.testing.assert_allclose(of_weight, 3 * x**2)
    assert float(calls) == 1
