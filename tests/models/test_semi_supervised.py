"""The label of a semi-supervised HALI: its losses, its gradients, and who may see it."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf import losses
from hali_tf.data import Split, semi_supervised_batches
from hali_tf.keras_versions import tf_variable
from hali_tf.layers import random
from hali_tf.models import LabelledEncoder, SemiSupervisedHALI
from hali_tf.models.draws import Draws

CLASSES = 3
SEED = tf.constant([5, 6])
SCALES = (tf.constant(1.0), tf.constant(1.0))


@pytest.fixture(name="batch")
def _batch(images):
    generator = np.random.default_rng(1)
    moved, labelled = generator.integers(0, 256, (2, *images.shape), dtype=np.uint8)
    return images, moved, labelled, np.array([0, 1, 2, 0, 1, 2, 0, 1]), np.full(8, -1)


def semi_supervised(make_model, **settings):
    settings = {"kind": SemiSupervisedHALI, "consistency": 1.0, "cycle_labels": 1.0, **settings}
    return make_model(classes=CLASSES, **settings)


def repeated(batch, steps):
    return tf.data.Dataset.from_tensor_slices(batch).repeat(steps).batch(8, drop_remainder=True)


def test_latents_and_uses(make_model, images):
    model = semi_supervised(make_model, compiled=False)
    assert model.latent_shapes == ((4, 4, 3), (9,))
    y = model.encode(images)[-1].probabilities
    np.testing.assert_allclose(tf.reduce_sum(y, axis=1), np.ones(8), rtol=1e-5)
    np.testing.assert_allclose(model.encode(images)[-1].mean[:, 6:], y)
    assert model.reconstruct(images, 2).shape == images.shape
    assert model.sample(tf.range(5, dtype=tf.int64)).shape == (5, 8, 8, 1)


def test_decoder_takes_the_largest_y_as_one_hot(make_model):
    model = semi_supervised(make_model, compiled=False)
    z = tf.random.stateless_normal([4, 6], [1, 1])
    decoded = [
        model.decode(tf.concat([z, tf.tile([y], [4, 1])], axis=1)).numpy()
        for y in ([0.0, 1.0, 0.0], [0.2, 0.7, 0.1], [1.0, 0.0, 0.0])
    ]
    np.testing.assert_array_equal(decoded[0], decoded[1])
    assert np.abs(decoded[0].astype(int) - decoded[2]).max() > 0


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_terms_against_numpy(make_model, batch):
    """-log q(y | x) of what the encoder says, for labelled, moved and generated images."""
    model = semi_supervised(
        make_model,
        compiled=False,
        noise=0.0,
        label_weight=3.0,
        consistency=2.0,
        cycle_labels=0.5,
        cycle_latents=0.25,
        latent_moments=1.5,
        hybrid_joints=(0.5, 1.0),
    )
    head = next(w for w in model.average.encoder.weights if w.shape == (1, 1, 8, CLASSES))
    head.assign(30 * head)  # sure of the labels of some images
    images, moved, labelled, labels, _ = batch
    teacher = softmax(model.average.encoder(images / 127.5 - 1)[0][-1].logits.numpy())
    spread = np.where(np.arange(8) % 2, teacher.argmax(axis=1), -1)
    spread[:2] = (teacher.argmax(axis=1)[:2] + 1) % CLASSES  # another label than the teacher's
    batch = images, moved, labelled, labels, spread
    (*_, z_q), (x, *zs), _, terms = model._examples(batch, SEED, 0)

    def expected(x, y, noises, training):
        logits = model.encoder(x, noises, training=training)[0][-1].logits.numpy()
        return -np.log(softmax(logits)[np.arange(len(y)), y])

    y = zs[-1][:8, 6:].numpy()
    assert (np.sort(y, axis=1) == [0, 0, 1]).all()
    cycle_loss = expected(x[:8], y.argmax(axis=1), None, False)
    np.testing.assert_allclose(terms["cycle_labels_loss"], 0.5 * cycle_loss, rtol=1e-4)
    mean = model.encoder(x[:8], training=True)[0][-1].mean  # of z_2, and probabilities of y
    latent_loss = np.square(mean - zs[-1][:8]).mean(axis=1)
    np.testing.assert_allclose(terms["cycle_latents_loss"], 0.25 * latent_loss, rtol=1e-4)
    moment_loss = losses.moment_loss(z_q[:, :6])  # without the label, which has another prior
    np.testing.assert_allclose(terms["latent_moments_loss"], 1.5 * moment_loss, rtol=1e-4)
    sure = teacher.max(axis=1) >= 0.95
    assert 0 < sure[2:].sum() < 6 and sure[:2].any()
    sure[:2] = False
    shown = np.concatenate([labelled, moved])
    parts = [
        Draws(random.fold(SEED, purpose), len(part), 0).posterior(model.latent_shapes)
        for part, purpose in ((labelled, -1), (moved, -2))
    ]
    noises = [np.concatenate(of_level) for of_level in zip(*parts)]
    both = expected(shown / 127.5 - 1, [*labels, *teacher.argmax(axis=1)], noises, True)
    np.testing.assert_allclose(terms["label_loss"], 3 * both[:8], rtol=1e-4)
    np.testing.assert_allclose(terms["consistency_loss"], 2 * sure * both[8:], rtol=1e-4)


@pytest.mark.parametrize("shares", [(), (0.5, 1.0)])
def test_one_pass_equals_two_passes(make_model, batch, shares):
    results = []
    for name in ("_one_pass_gradients", "_two_pass_gradients"):
        model = semi_supervised(make_model, compiled=False, hybrid_joints=shares)
        function = getattr(model, name)
        players, values = tf.function(function, autograph=False)(batch, SEED, 0, SCALES)
        results.append((tf.nest.flatten(players), values))
    (one, values), (two, expected) = results
    assert len(one) == len(two)
    for a, b in zip(one, two):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max() + 1e-12)
    assert {"label_loss", "consistency_loss", "cycle_labels_loss"} < values.keys()
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(float(value), rel=1e-4), name


def test_shuffled_labels_of_all_unlabelled_images_change_nothing(make_model):
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    labels, labelled = generator.integers(0, CLASSES, 60), np.arange(0, 60, 10)
    others = np.setdiff1d(np.arange(60), labelled)
    shuffled = labels.copy()
    shuffled[others] = generator.permutation(labels[others])
    assert (shuffled != labels).sum() > 20
    spoiled = labels.copy()
    spoiled[labelled] = (labels[labelled] + 1) % CLASSES

    def weights(labels):
        model = semi_supervised(make_model)
        split = Split(images, labels)
        model.fit(semi_supervised_batches(split, labelled, 8, 0, 0, 3, shift=1), verbose=0)
        return model.get_weights()

    expected = weights(labels)
    actual = weights(shuffled)
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(weights(spoiled), expected))  # the others do matter


def test_labels_are_learned(make_model, batch):
    images = np.zeros([8, 8, 8, 1], np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    images += (120 * labels).astype(np.uint8)[:, None, None, None]
    model = semi_supervised(make_model, ema_decay=0.9)
    batch = (*batch[:2], images, labels, batch[4])
    history = model.fit(repeated(batch, 120), verbose=0).history
    assert history["label_loss"][-1] < 1
    assert model.encode(images)[-1].probabilities.numpy().argmax(axis=1).tolist() == labels.tolist()


def test_two_replicas_train(make_model, two_replicas, batch):
    with two_replicas.scope():
        model = semi_supervised(make_model, hybrid_joints=(0.5, 1.0))
    history = model.fit(repeated(batch, 2), verbose=0).history
    assert all(np.isfinite(v).all() for v in history.values())
    for variable in model.encoder.weights + model.average.encoder.weights:
        first, second = (
            part.numpy() for part in two_replicas.experimental_local_results(tf_variable(variable))
        )
        np.testing.assert_array_equal(first, second, err_msg=variable.name)


@pytest.mark.parametrize(
    "settings",
    [
        {"levels": 1, "consistency": 0.0, "cycle_labels": 0.0},
        {"levels": 1, "hybrid_joints": (1.0,)},
        {"precision": "mixed_bfloat16"},
        {"precision": "mixed_float16", "loss_scaling": True},
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    ],
)
def test_trains_at_any_setting(make_model, batch, settings):
    model = semi_supervised(make_model, **settings)
    history = model.fit(repeated(batch, 2), verbose=0).history
    assert all(np.isfinite(v).all() for v in history.values())
    assert ("cycle_labels_loss" in history) == ("cycle_labels" not in settings)
    assert ("consistency_loss" in history) == ("consistency" not in settings)


@pytest.mark.parametrize("consistency", [0.0, 1.0])
def test_encoder_alone_learns_labels_and_nothing_else(make_model, two_replicas, batch, consistency):
    with two_replicas.scope():
        model = make_model(classes=CLASSES, kind=LabelledEncoder, consistency=consistency)
    before = [v.numpy() for v in model.decoder.weights]
    images = (120 * batch[3]).astype(np.uint8)[:, None, None, None] + np.zeros_like(batch[2])
    batch = (*batch[:2], images, *batch[3:])
    history = model.fit(repeated(batch, 60), verbose=0).history
    assert history["label_loss"][-1] < 1
    for expected, actual in zip(before, model.decoder.weights):
        np.testing.assert_array_equal(actual.numpy(), expected)


def test_draws_of_an_example_do_not_depend_on_the_parts_of_its_batch(make_model, batch):
    """What the encoder is shown of the first half, whole and as the first of two micro-batches."""

    def shown(batch, parts):
        model = semi_supervised(make_model, compiled=False, accumulate=parts)
        seen = []
        call = model.encoder.call
        model.encoder.call = lambda x, noise, **settings: (
            seen.append([x, *noise]) or call(x, noise, **settings)
        )
        model._label_terms(batch, SEED, 0)
        return seen[0]

    whole, half = shown(batch, 1), shown(tuple(part[:4] for part in batch), 2)
    for of_whole, of_half in zip(whole, half):
        labelled, moved = of_whole[:8], of_whole[8:]
        np.testing.assert_array_equal(of_half, tf.concat([labelled[:4], moved[:4]], axis=0))
