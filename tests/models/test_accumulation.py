"""Micro-batches against halves taken by hand, against replicas, and against the plain step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hali_tf.architectures.rows import Architecture, Conv, Gaussian, Image, Level, Logit, Upsample
from hali_tf.models import HALI, VAE, LabelledEncoder, SemiSupervisedHALI
from tests.models.halves import (
    PLAIN,
    STEPS,
    assert_encoders_equal,
    assert_trains_equally,
    assert_weights_equal,
    compile_to_overflow,
    history,
    step_by_halves,
)

GAME = {"gradient_penalty": 1.0, "hybrid_joints": (0.5,), "epsilon": 1e-3}
LABELS = {"classes": 3, "consistency": 1.0, "epsilon": 1e-3}


def test_step_is_the_mean_of_gradients_at_the_same_weights(make_model, images):
    reference = make_model(**PLAIN, hybrid_joints=(0.5, 0.25))
    model = make_model(**PLAIN, hybrid_joints=(0.5, 0.25), accumulate=2)
    for _ in range(STEPS):
        step_by_halves(reference, images)
    history(model, images)
    assert_weights_equal(model, reference)
    assert_encoders_equal(model, reference)


@pytest.mark.parametrize(
    "settings",
    [
        {**GAME, "levels": 1},
        {"kind": VAE, "levels": 1, "epsilon": 1e-3},
        pytest.param(
            {**LABELS, **GAME, "kind": SemiSupervisedHALI, "cycle_labels": 1.0},
            marks=pytest.mark.slow,
        ),
        pytest.param({**LABELS, "kind": LabelledEncoder}, marks=pytest.mark.slow),
    ],
    ids=["HALI", "VAE", "labels", "encoder alone"],
)
def test_micro_batches_count_as_replicas_do(make_model, two_replicas, images, settings):
    """All that is random included; and two of each on two devices as four of one."""
    batch = images
    if "classes" in settings:
        rng = np.random.default_rng(1)
        moved, labelled = rng.integers(0, 256, (2, *images.shape), dtype=np.uint8)
        labels, spread = np.array([[0, 1, 2, 0, 1, 2, 0, 1], [-1, 0, 1, 2, -1, 0, 1, 2]])
        batch = (images, moved, labelled, labels, spread)
    with two_replicas.scope():
        replicas = make_model(**settings)
        both = make_model(**settings, accumulate=2)
    assert_trains_equally(make_model(**settings, accumulate=2), replicas, batch, steps=2)
    assert_trains_equally(make_model(**settings, accumulate=4), both, batch, steps=1)


def _without_batch_norm():
    """A table of two levels in which no example depends on another."""
    conv = {"norm": None}
    below = Level(
        latent=(4, 4, 3),
        encoder=(Conv(6, 3, strides=2, **conv), Gaussian()),
        decoder=(Upsample(), Conv(6, 3, **conv), Image()),
        discriminator=(Conv(6, 3, 2, **conv),),
    )
    top = Level(
        latent=(6,),
        encoder=(Conv(8, 4, padding="valid", **conv), Gaussian()),
        decoder=(Upsample(), Upsample(), Conv(6, 3, **conv), Gaussian()),
        discriminator=(Conv(8, 4, padding="valid", **conv),),
    )
    return Architecture((8, 8, 1), (below, top), (Logit(),))


@pytest.mark.parametrize("accumulate", [2, 8])
def test_without_batch_norm_it_equals_the_plain_step(images, accumulate):
    """With the noise and all draws of latents."""

    def model_of(parts):
        keras.utils.set_random_seed(1)
        model = HALI(_without_batch_norm(), gradient_penalty=1.0, accumulate=parts)
        model.compile(*(keras.optimizers.Adam(1e-3, 0.5, epsilon=1e-3) for _ in range(2)))
        return model

    assert_trains_equally(model_of(accumulate), model_of(1), images, STEPS)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_trains(make_model, images, precision):
    scaling = precision == "mixed_float16"
    model = make_model(levels=1, precision=precision, loss_scaling=scaling, accumulate=2)
    assert all(np.isfinite(values).all() for values in history(model, images, 2).values())


def test_float16_step_is_skipped_where_one_micro_batch_overflows(make_model, images):
    model = make_model(precision="mixed_float16", compiled=False, accumulate=2)
    compile_to_overflow(model)
    before = [v.numpy() for v in model.trainable_variables]
    model.train_step(tf.constant(images))
    for a, b in zip(before, model.trainable_variables):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_it_compiles_with_xla(make_model, images):
    plain = make_model(**PLAIN, accumulate=2)
    compiled = make_model(**PLAIN, accumulate=2, jit_compile=True)
    actual, expected = history(compiled, images, 2), history(plain, images, 2)
    for name in ("d_loss", "g_loss", "d_gradient"):
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-3, atol=1e-3)
