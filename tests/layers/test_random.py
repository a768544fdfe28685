"""Random draws: their distribution, and that they follow from the seed alone."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from hali_tf.layers import random

SEED = tf.constant([3, 4])


def test_normal_is_standard_normal():
    draws = random.normal([50_000], SEED).numpy()
    assert scipy.stats.kstest(draws, "norm").pvalue > 0.01
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[:25_000], draws[25_000:])[0, 1]) < 0.02  # cosine and sine halves


def test_normal_follows_from_the_seed():
    np.testing.assert_array_equal(random.normal([5, 3], SEED), random.normal([5, 3], SEED))
    other = random.normal([5, 3], random.fold(SEED, 1))
    assert np.abs(other - random.normal([5, 3], SEED)).min() > 0


def test_normal_of_odd_shape_and_under_xla():
    draw = tf.function(lambda: random.normal([7, 3, 1], SEED), jit_compile=True, autograph=False)
    assert draw().shape == (7, 3, 1)
    np.testing.assert_allclose(draw(), random.normal([7, 3, 1], SEED), rtol=1e-4, atol=1e-5)


def test_rows_are_standard_normal_and_independent():
    draws = random.normal_rows(5, 500, [101], SEED).numpy()
    assert scipy.stats.kstest(draws.ravel(), "norm").pvalue > 0.01
    for first, second in ((draws[:-1], draws[1:]), (draws[:, :-1], draws[:, 1:])):
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[:, :50].ravel(), draws[:, 50:100].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("shape", [[1], [6], [8, 8, 3], [257]])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_row_is_the_same_to_the_bit_whatever_is_drawn_with_it(shape, compiled):
    draw = tf.function(
        lambda begin, rows: random.normal_rows(begin, rows, shape, SEED),
        jit_compile=compiled,
        autograph=False,
    )
    whole = draw(0, 12)
    assert len(np.unique(whole)) == np.size(whole)
    for begin, rows in ((0, 1), (1, 3), (5, 7)):
        np.testing.assert_array_equal(draw(tf.constant(begin), rows), whole[begin : begin + rows])


def test_rows_far_into_a_large_batch_are_drawn_alone():
    far = random.normal_rows(2**30, 3, [64, 64, 3], SEED)
    assert abs(np.mean(far)) < 0.03
    np.testing.assert_array_equal(far[2], random.normal_rows(2**30 + 2, 1, [64, 64, 3], SEED)[0])


def test_rows_follow_from_the_seed_with_xla_and_without():
    other = random.normal_rows(2, 5, [3], random.fold(SEED, 1))
    here = random.normal_rows(2, 5, [3], SEED)
    assert np.abs(other - here).min() > 0
    compiled = tf.function(random.normal_rows, jit_compile=True, autograph=False)
    for seed in (SEED, tf.constant([-3, -4])):
        np.testing.assert_allclose(
            compiled(2, 5, [3], seed), random.normal_rows(2, 5, [3], seed), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(rate, dtype):
    n = 40_001  # not a multiple of the four entries that share a draw
    y = tf.cast(random.dropout(tf.ones([n], dtype), rate, SEED), tf.float32).numpy()
    dropped = round(rate * 256) / 256
    assert abs((y == 0).mean() - dropped) < 4 * np.sqrt(dropped * (1 - dropped) / n)
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - dropped)], rtol=4e-3)


def test_dropout_follows_from_the_seed_and_masks_gradients_alike():
    x = tf.ones([64])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = random.dropout(x, 0.5, SEED)
    np.testing.assert_array_equal(y, random.dropout(x, 0.5, SEED))
    np.testing.assert_array_equal(tape.gradient(y, x), y)
    assert np.any(y != random.dropout(x, 0.5, random.fold(SEED, 1)))
