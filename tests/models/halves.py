"""A step by the mean of the gradients of a batch's halves, and what is compared with it."""

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
            of_q, of_p, _ = model._joint_examples(part, Draws(seed, 4, half, 2), training=True)
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
