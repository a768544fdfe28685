"""Two replicas on two logical CPUs against one, and against batch halves taken by hand."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.keras_versions import tf_variable
from hali_tf.models import VAE
from hali_tf.models.draws import Draws
from tests.models.halves import (
    PLAIN,
    STEPS,
    assert_encoders_equal,
    assert_weights_equal,
    step_by_halves,
)


def _train(model, images, steps=STEPS):
    """The two values that progress shows (HALI's losses) and the gradients' norms, of each step."""
    dataset = tf.data.Dataset.from_tensor_slices(images).repeat().batch(len(images), True)
    history = model.fit(dataset, epochs=steps, steps_per_epoch=1, verbose=0).history
    return np.array([history[name] for name in (*model.VALUES[:2], *model.NORMS)])


def _replicated(two_replicas, make_model, **settings):
    with two_replicas.scope():
        return make_model(**settings)


@pytest.mark.parametrize(
    "further", [{}, {"hybrid_joints": (1.0, 1.0), "image_discriminator": True}]
)
def test_synchronised_replicas_equal_one_device(make_model, two_replicas, images, further):
    settings = {**PLAIN, "sync_batch_norm": True, "gradient_penalty": 1.0, **further}
    one = make_model(**settings)
    two = _replicated(two_replicas, make_model, **settings)
    np.testing.assert_allclose(_train(two, images), _train(one, images), rtol=1e-4, atol=1e-5)
    assert_weights_equal(two, one)


@pytest.mark.parametrize("shares", [(), (0.5, 0.25)])
def test_plain_replicas_equal_halves_that_are_normalised_by_themselves(
    make_model, two_replicas, shares
):
    # With these images no activation is so near to leaky ReLU's kink that rounding moves it across.
    images = np.random.default_rng(1).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    reference = make_model(**PLAIN, hybrid_joints=shares)
    for _ in range(STEPS):
        step_by_halves(reference, images)
    two = _replicated(two_replicas, make_model, **PLAIN, hybrid_joints=shares)
    _train(two, images)
    assert_weights_equal(two, reference)
    assert_encoders_equal(two, reference)


def test_each_gradient_is_added_up_once(make_model, two_replicas, images, monkeypatch):
    sums = []
    extended = type(two_replicas.extended)
    reduce = extended.batch_reduce_to

    def counting(self, operation, pairs, *further):
        if operation == tf.distribute.ReduceOp.SUM:
            sums.extend(tuple(value.values[0].shape) for value, _ in pairs)
        return reduce(self, operation, pairs, *further)

    monkeypatch.setattr(extended, "batch_reduce_to", counting)
    model = _replicated(two_replicas, make_model, **PLAIN)
    _train(model, images, steps=1)
    weights = [tuple(weight.shape) for _, player in model._players() for weight in player]
    assert sorted(sums) == sorted(weights)


@pytest.mark.parametrize(
    "precision",
    [
        "float32",
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param("mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_replicas_train_in_each_precision_and_hold_equal_statistics(
    make_model, two_replicas, images, precision
):
    scaling = precision == "mixed_float16"
    model = _replicated(two_replicas, make_model, precision=precision, loss_scaling=scaling)
    assert np.isfinite(_train(model, images, steps=2)).all()
    for variable in model.encoder.weights + model.decoder.weights + model.average.encoder.weights:
        first, second = (
            part.numpy() for part in two_replicas.experimental_local_results(tf_variable(variable))
        )
        np.testing.assert_array_equal(first, second, err_msg=variable.name)


def test_replicas_of_a_vae_equal_one_device_in_weights_and_sigma(make_model, two_replicas, images):
    settings = {"kind": VAE, "levels": 1, "epsilon": 1e-3, "sync_batch_norm": True}
    one = make_model(**settings)
    two = _replicated(two_replicas, make_model, **settings)
    np.testing.assert_allclose(_train(two, images), _train(one, images), rtol=1e-4)
    assert_weights_equal(two, one)
    parts = [part.numpy() for part in two_replicas.experimental_local_results(two.variance)]
    assert parts[0] == parts[1] == pytest.approx(one.variance.numpy(), rel=1e-5)
    assert 0 < parts[0] < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [PLAIN, {"kind": VAE, "levels": 1, "epsilon": 1e-3}], ids=["HALI", "VAE"]
)
def test_replicas_compile_with_xla(make_model, two_replicas, images, settings):
    plain = _replicated(two_replicas, make_model, **settings)
    compiled = _replicated(two_replicas, make_model, jit_compile=True, **settings)
    np.testing.assert_allclose(
        _train(compiled, images), _train(plain, images), rtol=1e-4, atol=1e-3
    )


def test_replicas_draw_their_parts_of_the_batchs_noise():
    seed = tf.constant([1, 2])
    halves = [Draws(seed, 4, replica).normal([3], 0) for replica in range(2)]
    whole = Draws(seed, 8, 0).normal([3], 0)
    np.testing.assert_array_equal(tf.concat(halves, 0), whole)
    assert np.abs(halves[0] - halves[1]).min() > 0
