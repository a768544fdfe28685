"""Gradients of both players: one pass against two, XLA against none, low precision, any L."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hali_tf import keras_versions, losses
from hali_tf.architectures import ARCHITECTURES
from hali_tf.layers.convolution import Dropout
from hali_tf.models import HALI
from hali_tf.models.draws import Draws
from tests.models.halves import compile_to_overflow, history

SEED = tf.constant([5, 6])
SCALES = (tf.constant(1.0), tf.constant(1.0))


def _gradients(function, images):
    """Gradients in one list and the dict of values, as NumPy."""
    players, values = tf.function(function, autograph=False)(images, SEED, 0, SCALES)
    return [g.numpy() for g in tf.nest.flatten(players)], {k: float(v) for k, v in values.items()}


def _assert_equal(actual, expected, tolerance):
    """Each variable's gradients, relative to that variable's largest."""
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max() + 1e-12)


def _spread_logits(model, images, center):
    """Scales the last layer to logits of deviation about 3 and mean `center`.

    The mean is that of q's examples without dropout, whatever weights the seed gave.
    """
    logit = model.discriminator.logit.stack[-1]
    model.initialize_from_data(images)
    logit.kernel.assign(6 * logit.kernel)
    (x, *zs), _, _, _ = model._examples(images, SEED, 0)
    logit.bias.assign([center - np.mean(model.discriminator(x, zs))])


@pytest.mark.parametrize("center", [-16.0, 0.0, 16.0])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hybrid_joints": (1.0, 0.5)},
        {"cycle_latents": 2.0, "hybrid_joints": (0.5,)},
        {"cycle_contrast": 2.0},
        {"latent_moments": 2.0, "hybrid_joints": (0.5,)},
        {"image_discriminator": True, "hybrid_joints": (0.5,), "gradient_penalty": 1.0},
    ],
)
def test_one_pass_equals_two_passes(make_model, images, center, settings):
    results = []
    for name in ("_one_pass_gradients", "_two_pass_gradients"):
        model = make_model(compiled=False, **settings)
        _spread_logits(model, images, center)
        results.append(_gradients(getattr(model, name), images))
    (one, values), (two, expected) = results
    _assert_equal(one, two, 1e-4)
    assert values == pytest.approx(expected, rel=1e-4)
    if center:
        assert max(values["d_loss"], values["g_loss"]) > 12  # the logits are where they should be


def _mean_squares(mean, z):
    return np.square(mean - z).mean(axis=1)


def _surprise_at_own(mean, z):
    likelihoods = [[np.exp(-np.square(a - m).sum() / 2) for m in mean] for a in z]
    return [-np.log(row[i] / sum(row)) for i, row in enumerate(likelihoods)]


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(
    "flag, function", [("cycle_latents", _mean_squares), ("cycle_contrast", _surprise_at_own)]
)
def test_cycle_of_latents(make_model, images, levels, flag, function):
    """The term in NumPy; its gradients reach encoder and decoder at every level."""
    name = f"{flag}_loss"
    settings = {"compiled": False, "levels": levels, "hybrid_joints": (0.5,)}
    model = make_model(**{flag: 2.0}, **settings)
    _, (x, *zs), _, terms = model._examples(images, SEED, 0)
    assert len(x) > len(images) == len(terms[name])
    found = np.float64(model.encoder(x[:8], training=True)[0][-1].mean)
    expected = 2 * np.asarray(function(found, np.float64(zs[-1][:8])))
    np.testing.assert_allclose(terms[name], expected, rtol=1e-4)
    (_, plain), _ = make_model(**settings)._one_pass_gradients(images, SEED, 0, SCALES)
    (_, cycled), values = model._one_pass_gradients(images, SEED, 0, SCALES)
    assert float(values[name]) == pytest.approx(expected.mean(), rel=1e-4)
    # All but the encoder's top sigmas, which the term does not depend on, have a part in it.
    parts = [np.abs(a - b).max() > 0 for a, b in zip(cycled, plain)]
    assert np.mean(parts) > 0.9


@pytest.mark.parametrize("levels", [1, 2])
def test_moments_of_latents(make_model, images, levels):
    """The term is of the encoder's z_L; its gradients reach the encoder at every level alone."""
    settings = {"compiled": False, "levels": levels, "hybrid_joints": (0.5,)}
    model = make_model(latent_moments=2.0, **settings)
    of_q, _, _, terms = model._examples(images, SEED, 0)
    np.testing.assert_allclose(terms["latent_moments_loss"], 2 * losses.moment_loss(of_q[-1]))
    (_, plain), _ = make_model(**settings)._one_pass_gradients(images, SEED, 0, SCALES)
    (_, moved), values = model._one_pass_gradients(images, SEED, 0, SCALES)
    assert float(values["latent_moments_loss"]) == pytest.approx(
        np.mean(terms["latent_moments_loss"]), rel=1e-4
    )
    differences = [np.abs(a - b).max() for a, b in zip(moved, plain)]
    encoder = len(model.encoder.trainable_variables)
    assert np.mean(np.array(differences[:encoder]) > 0) > 0.9 and not any(differences[encoder:])


@pytest.mark.parametrize("function", ["_one_pass_gradients", "_two_pass_gradients"])
@pytest.mark.parametrize("levels", [1, 2])
def test_image_discriminator(make_model, images, levels, function):
    """The game of the images alone has losses of its own, which join those of both players."""
    settings = {"compiled": False, "dropout": False, "levels": levels, "hybrid_joints": (0.5,)}
    model = make_model(image_discriminator=True, **settings)
    with tf.GradientTape(persistent=True) as tape:
        (x_q, *_), (x_p, *_), _, _ = model._examples(images, SEED, 0)
        s_q, s_p = model.image_discriminator(x_q, []), model.image_discriminator(x_p, [])
        d_loss, g_loss = (
            tf.reduce_mean(tf.math.log(1 + tf.exp(-sign * s_q)))
            + tf.reduce_mean(tf.math.log(1 + tf.exp(sign * s_p)))
            for sign in (1, -1)
        )
    own = tape.gradient(d_loss, model.image_discriminator.trainable_variables)
    added = tape.gradient(g_loss, model._coder_variables(), unconnected_gradients="zero")
    plain = _with_weights_of(model, make_model(**settings))
    (d_plain, g_plain), _ = getattr(plain, function)(images, SEED, 0, SCALES)
    (d_both, g_both), values = getattr(model, function)(images, SEED, 0, SCALES)
    _assert_equal(_arrays(d_both), _arrays([*d_plain, *own]), 1e-4)
    _assert_equal(_arrays(g_both), _arrays(a + b for a, b in zip(g_plain, added)), 1e-4)
    assert float(values["d_loss_x"]) == pytest.approx(float(d_loss), rel=1e-4)
    assert float(values["g_loss_x"]) == pytest.approx(float(g_loss), rel=1e-4)


def _with_weights_of(model, plain):
    """A model without one of the networks, with the weights of the others; Keras 3 draws others."""
    for name, network in plain.networks.items():
        network.set_weights(model.networks[name].get_weights())
    return plain


def _arrays(gradients):
    return [gradient.numpy() for gradient in gradients]


def _squared_slopes(discriminator, model, images, inputs=None):
    """Mean over images of ||ds_q / d(x, z_1, z_2)||^2 by differences, an entry at a time.

    Of the first `inputs` of x, z_1, z_2, where the discriminator sees no more.
    """
    draws = Draws(SEED, len(images), 0)
    of_q, _, _ = model._joint_examples(images, draws, training=True)
    parts = [v.numpy() for v in of_q[:inputs]]
    ends = np.cumsum([part[0].size for part in parts])
    squares = []
    for example in np.concatenate([part.reshape(len(images), -1) for part in parts], axis=1):
        steps = 1e-3 * np.eye(ends[-1])  # larger ones meet more kinks of leaky ReLU
        moved = np.split(np.concatenate([example + steps, example - steps]), ends[:-1], axis=1)
        x, *zs = (np.float32(m.reshape(-1, *part.shape[1:])) for m, part in zip(moved, parts))
        up, down = np.split(np.float64(discriminator(x, zs)), 2)
        squares.append(np.sum(((up - down) / 2e-3) ** 2))
    return np.mean(squares)


@pytest.mark.slow
def test_penalty_and_hybrid_joints_of_a_larger_model_train():
    """TensorFlow rewrote the graph so that the second step failed: resource already exists."""
    architecture = ARCHITECTURES["hali64_small"]
    settings = {"gradient_penalty": 0.03, "precision": "mixed_bfloat16"}
    model = HALI(architecture, hybrid_joints=(0.5, 0.5), **settings)
    model.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    images = np.random.default_rng(0).integers(0, 256, [32, *architecture.image], np.uint8)
    losses = history(model, tf.constant(images), 2)["d_loss"]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("function", ["_one_pass_gradients", "_two_pass_gradients"])
def test_penalty_joins_the_discriminators_gradients_every_eighth_step(make_model, images, function):
    """It adds 8 gamma / 2 times the gradient of the squared slope, here checked along a kernel."""
    plain, penalised = (
        make_model(compiled=False, dropout=False, noise=0.0, gradient_penalty=gamma)
        for gamma in (0.0, 3.0)
    )
    for model in (plain, penalised):
        _spread_logits(model, images, 0.0)
    for step, due in ((0, True), (3, False), (16, True)):
        penalised.step.assign(step)
        (d_before, g_before), _ = getattr(plain, function)(images, SEED, 0, SCALES)
        (d_after, g_after), values = getattr(penalised, function)(images, SEED, 0, SCALES)
        _assert_equal([g.numpy() for g in g_after], [g.numpy() for g in g_before], 1e-6)
        added = [(a - b).numpy() for a, b in zip(d_after, d_before)]
        assert any(np.abs(a).max() > 0 for a in added) == due == (values["penalty"] > 0)
        logged = penalised.measured(step + 1)
        assert ("penalty" in logged, "d_gradient" in logged) == (due, not due)
    # The last kernel is a factor of every slope: along itself, half the square grows by the square.
    kernel = penalised.discriminator.logit.stack[-1].kernel
    index = [v is kernel for v in penalised.discriminator.trainable_variables].index(True)
    found = np.sum(added[index] * kernel.numpy())
    squares = _squared_slopes(plain.discriminator, plain, images)
    assert found == pytest.approx(8 * 3.0 * squares, rel=1e-2)
    assert float(values["penalty"]) == pytest.approx(3.0 / 2 * squares, rel=1e-2)


def test_penalty_is_of_both_games(make_model, images):
    settings = {"compiled": False, "dropout": False, "gradient_penalty": 3.0}
    both = make_model(image_discriminator=True, **settings)
    one = _with_weights_of(both, make_model(**settings))
    (_, _), values = one._one_pass_gradients(images, SEED, 0, SCALES)
    (_, _), both_values = both._one_pass_gradients(images, SEED, 0, SCALES)
    added = float(both_values["penalty"]) - float(values["penalty"])
    squares = _squared_slopes(both.image_discriminator, both, images, inputs=1)
    assert added == pytest.approx(3.0 / 2 * squares, rel=1e-2)


def test_penalty_is_scaled_as_the_loss_is(make_model, images):
    model = make_model(compiled=False, gradient_penalty=3.0)
    (expected, _), values = model._two_pass_gradients(images, SEED, 0, SCALES)
    scales = [tf.constant(1024.0)] * 2
    (scaled, _), scaled_values = model._two_pass_gradients(images, SEED, 0, scales)
    _assert_equal([g.numpy() / 1024 for g in scaled], [g.numpy() for g in expected], 1e-4)
    assert float(scaled_values["penalty"]) == pytest.approx(float(values["penalty"]))


def test_discriminator_depends_on_each_example_alone(make_model, images):
    model = make_model(compiled=False)
    x = tf.cast(images, tf.float32) / 255
    zs = [tf.random.stateless_normal([8, *shape], [1, 2]) for shape in model.latent_shapes]
    whole = model.discriminator(x, zs)
    alone = [model.discriminator(x[i : i + 1], [z[i : i + 1] for z in zs])[0] for i in range(8)]
    np.testing.assert_allclose(whole, alone, rtol=1e-4, atol=1e-5)


def test_xla_equals_no_xla(make_model, images):
    model = make_model(compiled=False, gradient_penalty=1.0)
    compiled = tf.function(model._one_pass_gradients, jit_compile=True, autograph=False)
    plain, values = _gradients(model._one_pass_gradients, images)
    xla, xla_values = _gradients(compiled, images)
    _assert_equal(xla, plain, 1e-3)
    assert xla_values == pytest.approx(values, rel=1e-4, abs=1e-5)


def test_bfloat16_stays_near_float32(make_model, images):
    """Losses within 0.05; each player's gradient within 25 degrees and 10 % of length."""
    results = []
    for precision in ("float32", "mixed_bfloat16"):
        model = make_model(compiled=False, precision=precision)
        assert {tf.as_dtype(v.dtype) for v in model.trainable_variables} == {tf.float32}
        players, values = model._one_pass_gradients(images, SEED, 0, SCALES)
        flat = [np.concatenate([g.numpy().ravel() for g in player]) for player in players]
        results.append((flat, values))
    (exact, exact_values), (rough, rough_values) = results
    for name in ("d_loss", "g_loss"):
        assert float(rough_values[name]) == pytest.approx(float(exact_values[name]), abs=0.05)
    for a, b in zip(exact, rough):
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > np.cos(np.radians(25))
        assert np.linalg.norm(b) == pytest.approx(np.linalg.norm(a), rel=0.1)


@pytest.mark.parametrize("levels", [1, 3])
def test_any_number_of_levels_trains(make_model, images, levels):
    model = make_model(levels)
    model.initialize_from_data(images)
    before = [v.numpy() for v in model.trainable_variables]
    history = model.fit(tf.data.Dataset.from_tensors(images).repeat(2), verbose=0).history
    assert all(np.isfinite(v).all() for v in history.values())
    assert {f"sigma_{l}" for l in range(1, levels + 1)} <= set(history)
    assert int(model.step) == 2
    same = [np.array_equal(a, b.numpy()) for a, b in zip(before, model.trainable_variables)]
    assert not any(same)


def test_float16_uses_two_passes_and_scaled_losses(make_model, images):
    model = make_model(precision="mixed_float16", loss_scaling=True)
    history = model.fit(tf.data.Dataset.from_tensors(images).repeat(2), verbose=0).history
    assert all(np.isfinite(v).all() for v in history.values())
    # Scaled by 1,024 inside; what is logged is unscaled.
    plain = make_model(precision="float32")
    expected = plain.fit(tf.data.Dataset.from_tensors(images).repeat(2), verbose=0).history
    assert history["d_gradient"][0] == pytest.approx(expected["d_gradient"][0], rel=0.1)


def test_float16_step_that_overflows_is_skipped(make_model, images):
    """Nothing moves but the scale of the loss, and no infinite gradient ends the run."""
    model = make_model(precision="mixed_float16", compiled=False)
    optimizers = compile_to_overflow(model)
    before = [v.numpy() for v in model.trainable_variables]
    values = model.train_step(tf.constant(images))
    assert float(values["d_gradient"]) == float(values["g_gradient"]) == 0
    assert all(np.isfinite(float(value)) for value in values.values())
    assert [float(keras_versions.loss_scale(optimizer)) for optimizer in optimizers] == [
        2.0**99
    ] * 2
    for a, b in zip(before, model.trainable_variables):
        np.testing.assert_array_equal(a, b)


def test_whole_step_compiles_with_xla(make_model, images):
    """As the step is exported to another machine: optimisers and averages inside."""
    plain, compiled = make_model(levels=1), make_model(levels=1)
    step = tf.function(compiled.train_step, jit_compile=True, autograph=False)
    for _ in range(2):
        expected = plain.train_step(tf.constant(images))
        values = step(tf.constant(images))
    for name in ("d_loss", "g_loss", "d_gradient"):
        assert float(values[name]) == pytest.approx(float(expected[name]), rel=1e-3)
    assert int(compiled.step) == 2
    for a, b in zip(compiled.average.encoder.weights, plain.average.encoder.weights):
        np.testing.assert_allclose(a, b, atol=3e-3)


def test_a_step_repeats_to_the_bit(make_model, images):
    def train():
        model = make_model(levels=1)
        model.fit(tf.data.Dataset.from_tensors(images).repeat(3), verbose=0)
        return model.get_weights()

    for a, b in zip(train(), train()):
        np.testing.assert_array_equal(a, b)


def test_averages_follow_weights_and_statistics(make_model, images):
    """average + rate * (weight - average), rate = 1 - min(decay, (1 + step) / (10 + step))."""
    model = make_model(levels=1, ema_decay=0.3)
    names = [weight.name for weight in model.encoder.weights + model.decoder.weights]
    assert any("moving_mean" in name for name in names)
    averages = [a.numpy() for a, _ in model._averaged()]
    for step in range(4):
        model.train_step(tf.constant(images))
        rate = 1 - min(0.3, (1 + step) / (10 + step))
        averages = [a + rate * (w.numpy() - a) for a, (_, w) in zip(averages, model._averaged())]
    for expected, (actual, weight) in zip(averages, model._averaged()):
        np.testing.assert_allclose(actual, expected, atol=1e-6)
        assert np.abs(actual - weight).max() > 0


def test_compile_makes_the_optimisers_variables(make_model):
    model = make_model()
    for optimizer, variables in model._players():
        moments = [v for v in optimizer.variables if tuple(v.shape)]
        assert len(moments) == 2 * len(variables)


def test_no_seed_of_dropout_is_used_twice(make_model, images, monkeypatch):
    model = make_model(levels=2, compiled=False, image_discriminator=True)
    seeds = []

    def recorded(self, x, seed):
        seeds.append(tuple(seed.numpy()))
        return x

    monkeypatch.setattr(Dropout, "call", recorded)
    x = tf.zeros(images.shape)
    example = [x, *model.encoder(x)[1]]
    model._games.logits(example, example, tf.constant([1, 2]))
    assert len(seeds) == len(set(seeds)) >= 6
