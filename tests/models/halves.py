"""What tests of a train step share: a step by halves of the batch, and how models are compared."""

import keras
import numpy as np
import tensorflow as tf

from hali_tf import losses
from hali_tf.layers import random
from hali_tf.models.draws import Draws

STEPS = 5
# Adam's own 1e-7 would turn rounding in gradients near zero into whole steps.
PLAIN = {"noise": 0.0, "dropout": False, "epsilon": 1e-3}


def assert_weights_equal(actual, expected, tolerance=1e-5):
    """In all that is trained."""
    trained = [
        [v for network in model.networks.values() for v in network.trainable_variables]
        for model in (actual, expected)
    ]
    assert len(trained[0]) == len(trained[1])
    for a, b in zip(*trained):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=tolerance, err_msg=a.name)


def assert_encoders_equal(actual, expected):
    """In weights and moving statistics."""
    for a, b in zip(actual.encoder.weights, expected.encoder.weights):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5, err_msg=a.name)


def assert_trains_equally(actual, expected, batch, steps, statistics=1e-5):
    """In what they log of each step, in weights, and in moving statistics to an absolute error."""
    logged, expected_logged = (history(model, batch, steps) for model in (actual, expected))
    for name, values in expected_logged.items():
        np.testing.assert_allclose(logged[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    assert_weights_equal(actual, expected)
    for a, b in zip(actual._recorded(), expected._recorded()):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=statistics, err_msg=a.name)
    assert set(logged) == set(actual.logged)


def history(model, batch, steps=STEPS):
    """What a model logs while it trains on one batch, by name."""
    dataset = tf.data.Dataset.from_tensors(batch).repeat(steps)
    return model.fit(dataset, epochs=steps, steps_per_epoch=1, verbose=0).history


def compile_to_overflow(model):
    """Gives a model of float16 optimisers whose first step overflows; returns them."""
    optimizers = [
        keras.mixed_precision.LossScaleOptimizer(
            keras.optimizers.Adam(1e-3), initial_scale=2.0**100
        )
        for _ in range(2)
    ]
    model.compile(*optimizers)
    return optimizers


def step_by_halves(model, images):
    """One update from the mean of each half's gradients, with plain tapes on one device."""
    statistics = model.encoder.non_trainable_variables + model.decoder.non_trainable_variables
    before = [v.numpy() for v in statistics]
    seed = random.fold([0, 0], model.step)
    gradients, after = [], []
    for half in range(2):
        for variable, value in zip(statistics, before):
            variable.assign(value)
        part = tf.constant(images[4 * half : 4 * half + 4])
        with tf.GradientTape(persistent=True) as tape:
            of_q, of_p, _ = model._joint_examples(part, Draws(seed, 4, half), training=True)
            s_q, s_p = (model.discriminator(x, zs) for x, *zs in (of_q, of_p))
            d_loss = sum(map(tf.reduce_mean, losses.discriminator_loss(s_q, s_p)))
            g_loss = sum(map(tf.reduce_mean, losses.generator_loss(s_q, s_p)))
        gradients.append(
            [
                tape.gradient(d_loss, model.discriminator.trainable_variables),
                tape.gradient(g_loss, model._coder_variables()),
            ]
        )
        after.append([v.numpy() for v in statistics])
    for variable, *values in zip(statistics, *after):
        variable.assign(np.mean(values, axis=0))
    for (optimizer, variables), first, second in zip(model._players(), *gradients):
        mean = [(a + b) / 2 for a, b in zip(first, second)]
        optimizer.apply_gradients(zip(mean, variables))
    model.step.assign_add(1)
