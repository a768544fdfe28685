"""Hybrid joints: whose latents they have, how they are weighed; the paper's game without them."""

import math

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.layers import random
from hali_tf.models import SemiSupervisedHALI, joints
from hali_tf.models.draws import CONDITIONAL, DROPOUT, NOISE_P, NOISE_Q, PRIOR, Draws

SEED = tf.constant([5, 6])
SCALES = (tf.constant(1.0), tf.constant(1.0))


def _sides(model, images, training=False):
    """[x, z_1, ..., z_L] of both sides, the decoder's as {l: examples of h_l}, p's l is L + 1."""
    draws = Draws(SEED, len(images), 0)
    of_q, of_p, _ = model._joint_examples(images, draws, training)
    numbers = joints.sizes(model.hybrid_joints, tf.shape(images)[0])
    parts = [tf.split(v, list(numbers.values())) for v in of_p]
    return of_q, {l: [part[i] for part in parts] for i, l in enumerate(numbers)}


def test_sizes_are_shares_of_the_batch_in_the_decoders_order():
    assert {l: int(n) for l, n in joints.sizes((1.0, 0.0, 0.3), tf.constant(8)).items()} == {
        4: 8,
        3: 2,
        1: 8,
    }
    assert int(joints.sizes((0.01,), tf.constant(8))[1]) == 1


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 1.0), (0.0, 0.5), (1.0, 0.25, 0.5)])
def test_latents_are_the_encoders_from_level_l_on_and_the_decoders_below(
    make_model, images, shares
):
    """Each joint decoded by itself, level by level, from the encoder's draws of the same images."""
    levels = len(shares)
    model = make_model(levels, compiled=False, noise=0.1, hybrid_joints=shares)
    of_q, parts = _sides(model, images)
    assert list(parts) == [levels + 1, *(l for l in range(levels, 0, -1) if shares[l - 1])]
    draws = Draws(SEED, len(images), 0)
    for l, (x, *zs) in parts.items():
        count = 8 if l > levels else round(8 * shares[l - 1])
        assert {len(v) for v in (x, *zs)} == {count}
        own = draws if l > levels else draws.of_hybrid(l, count)
        for k in range(levels, l - 1, -1):
            np.testing.assert_array_equal(zs[k - 1], of_q[k][:count])
        if l > levels:
            np.testing.assert_array_equal(zs[-1], draws.normal([6], PRIOR))
        for k in range(min(l, levels + 1) - 1, 0, -1):
            if k == levels:
                continue
            p = model.decoder.levels[k](zs[k])
            noise = own.normal(model.latent_shapes[k - 1], CONDITIONAL, k)
            np.testing.assert_allclose(zs[k - 1], p.mean + p.stddev * noise, atol=1e-5)
        noise = own.normal([8, 8, 1], NOISE_P)
        np.testing.assert_allclose(x, model.decoder.levels[0](zs[0]) + 0.1 * noise, atol=1e-5)


def test_joints_have_draws_of_their_own(make_model, images):
    draws = Draws(SEED, len(images), 0)
    made = [d.normal([50], NOISE_P) for d in (draws, draws.of_hybrid(1, 8), draws.of_hybrid(2, 8))]
    correlations = np.corrcoef([np.ravel(d) for d in made])
    assert np.abs(correlations - np.eye(3)).max() < 0.2


def test_batch_norm_sees_both_kinds_of_latents(make_model, images):
    """Level 1 of the decoder normalises p's z_1 and h_1's by their common statistics."""
    model = make_model(compiled=False, noise=0.0, hybrid_joints=(1.0,))
    _, parts = _sides(model, images, training=True)
    z_1 = tf.concat([parts[3][1], parts[1][1]], axis=0)
    expected = model.decoder.levels[0](z_1, training=True)
    np.testing.assert_allclose(tf.concat([parts[3][0], parts[1][0]], 0), expected, atol=1e-5)


def test_encoder_and_discriminator_see_the_same_noise(make_model, images):
    """Of a real image: z_1 is drawn for x + n, and the discriminator sees that x + n beside it."""
    model = make_model(compiled=False, noise=0.3)
    draws = Draws(SEED, len(images), 0)
    (x, z_1, _), _, _ = model._joint_examples(images, draws, training=False)
    noisy = images / np.float32(127.5) - 1 + 0.3 * draws.normal([8, 8, 1], NOISE_Q)
    np.testing.assert_allclose(x, noisy, atol=1e-5)
    drawn = model.encoder(x, draws.posterior(model.latent_shapes))[1][0]
    np.testing.assert_array_equal(z_1, drawn)


def _by_hand(model, images):
    """Losses and gradients, each joint's mean taken by itself and weighed."""
    dropout = random.fold(random.fold(SEED, DROPOUT), 0)
    with tf.GradientTape(persistent=True) as tape:
        draws = Draws(SEED, len(images), 0)
        of_q, of_p, _ = model._joint_examples(images, draws, training=True)
        x, *zs = (tf.concat(pair, axis=0) for pair in zip(of_q, of_p))
        s = model.discriminator(x, zs, training=True, seed=dropout)
        s_q, s_p = s[: len(images)], s[len(images) :]
        numbers = [int(n) for n in joints.sizes(model.hybrid_joints, len(images)).values()]
        weights = np.array(numbers) / sum(numbers)
        d_loss = tf.reduce_mean(tf.nn.softplus(-s_q))
        g_loss = tf.reduce_mean(tf.nn.softplus(s_q))
        for weight, part in zip(weights, tf.split(s_p, numbers)):
            d_loss += weight * tf.reduce_mean(tf.nn.softplus(part))
            g_loss += weight * tf.reduce_mean(tf.nn.softplus(-part))
    return (d_loss, g_loss), (
        tape.gradient(d_loss, model.discriminator.trainable_variables),
        tape.gradient(g_loss, model._coder_variables()),
    )


@pytest.mark.parametrize(
    "levels, shares",
    [
        (1, ()),
        (2, ()),
        (1, (1.0,)),
        (2, (1.0,)),
        (2, (0.5, 0.25)),
        (3, (0.0, 1.0, 0.5)),
    ],
)
def test_losses_are_those_of_the_mixture(make_model, images, levels, shares):
    """q's mean, and the joints' means by weights that sum to one; without shares the paper's."""
    model = make_model(levels, compiled=False, hybrid_joints=shares)
    (d_loss, g_loss), expected = _by_hand(model, images)
    actual, values = model._one_pass_gradients(tf.constant(images), SEED, 0, SCALES)
    assert float(values["d_loss"]) == pytest.approx(float(d_loss), rel=1e-5)
    assert float(values["g_loss"]) == pytest.approx(float(g_loss), rel=1e-5)
    assert {name for name in values if name.startswith("accuracy_h")} == {
        f"accuracy_h_{l}" for l, share in enumerate(shares, start=1) if share
    }
    for a, b in zip(tf.nest.flatten(actual), tf.nest.flatten(expected)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max() + 1e-12)


def test_accuracies_are_of_each_joint(make_model):
    s_p = tf.constant([-1.0, -1, -1, 1, 1, 1, -1, 1])  # 4 of p, 1 of h_2, 3 of h_1
    found = joints.accuracies(s_p, (0.75, 0.25), tf.constant(4))
    expected = {"accuracy_p": 3 / 4, "accuracy_h_2": 0, "accuracy_h_1": 1 / 3}
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected)


def test_gradients_reach_the_encoder_through_the_decoder(make_model, images):
    """The image of h_1 moves with the encoder's weights; that of p does not."""
    model = make_model(1, compiled=False, hybrid_joints=(1.0,))
    variables = model.encoder.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        _, parts = _sides(model, images)
        sums = {l: tf.reduce_sum(tf.square(examples[0])) for l, examples in parts.items()}
    assert all(np.abs(g).max() > 0 for g in tape.gradient(sums[1], variables))
    assert not any(np.any(g) for g in tape.gradient(sums[2], variables))


def test_label_of_the_encoder_keeps_its_gradient_on_the_way_down(make_model, images):
    model = make_model(1, compiled=False, kind=SemiSupervisedHALI, classes=3, hybrid_joints=(1.0,))
    with tf.GradientTape() as tape:
        of_q, parts = _sides(model, images)
        image = tf.reduce_sum(tf.square(parts[1][0]))
    np.testing.assert_array_equal(np.sort(parts[1][1][:, 6:]), [[0, 0, 1]] * 8)
    kernel = next(v for v in model.encoder.trainable_variables if v.shape[-1] == 3)
    assert np.abs(tape.gradient(image, kernel)).max() > 0


@pytest.mark.parametrize(
    "settings",
    [
        {"levels": 1, "hybrid_joints": (1.0,)},
        {"levels": 3, "hybrid_joints": (0.5, 0.0, 1.0), "gradient_penalty": 1.0},
        {"hybrid_joints": (1.0, 0.5), "precision": "mixed_bfloat16"},
        {"hybrid_joints": (1.0, 0.5), "precision": "mixed_float16", "loss_scaling": True},
        {"hybrid_joints": (0.5,), "image_discriminator": True, "precision": "mixed_bfloat16"},
    ],
)
def test_trains_at_any_setting(make_model, images, settings):
    model = make_model(**settings)
    model.initialize_from_data(images)
    before = [v.numpy() for v in model.trainable_variables]
    history = model.fit(tf.data.Dataset.from_tensors(images).repeat(2), verbose=0).history
    assert all(np.isfinite(v).all() for v in history.values())
    assert "accuracy_h_1" in history and 1.0 < history["d_loss"][0] < 10 * math.log(4)
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.trainable_variables))


def test_xla_equals_no_xla(make_model, images):
    model = make_model(compiled=False, hybrid_joints=(1.0, 0.5), gradient_penalty=1.0)
    compiled = tf.function(model._one_pass_gradients, jit_compile=True, autograph=False)
    expected, _ = model._one_pass_gradients(tf.constant(images), SEED, 0, SCALES)
    actual, _ = compiled(tf.constant(images), SEED, 0, SCALES)
    for a, b in zip(tf.nest.flatten(actual), tf.nest.flatten(expected)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3 * np.abs(b).max() + 1e-12)
