"""Convolution blocks: upsampling against Keras, nonlinearities, a block against NumPy."""

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.layers.convolution import (
    BatchNorms,
    ConvBlock,
    Pixels,
    ResidualBlock,
    Upsample,
    activate,
)


@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 1, 1, 2), (3, 1, 6, 1)])
def test_upsample_equals_keras_bilinear(shape):
    expected = _upsampled(keras.layers.UpSampling2D(interpolation="bilinear"), shape)
    for dtype, tolerance in (("float32", 1e-6), ("bfloat16", 0.02)):
        layer = Upsample(dtype="mixed_bfloat16" if dtype == "bfloat16" else dtype)
        for one, two in zip(_upsampled(layer, shape, dtype), expected):
            np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)


def _upsampled(layer, shape, dtype="float32"):
    """What a layer makes of images, and the gradient of a weighted sum of it, in float32."""
    generator = np.random.default_rng(0)
    x = tf.cast(tf.constant(generator.normal(size=shape), tf.bfloat16), dtype)
    weights = generator.normal(size=(shape[0], 2 * shape[1], 2 * shape[2], shape[3]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_sum(tf.cast(y, tf.float32) * tf.constant(weights, tf.float32))
    assert y.dtype == dtype
    return tf.cast(y, tf.float32), tf.cast(tape.gradient(total, x), tf.float32)


def test_channels_of_a_position_become_a_square_of_pixels():
    x = tf.reshape(tf.range(16.0), [1, 1, 2, 8]) / 16
    squares = [[[0, 1], [2, 3], [8, 9], [10, 11]], [[4, 5], [6, 7], [12, 13], [14, 15]]]
    # The mean of each pixel, its right one, its lower one and the one between these, as far as they
    # are there.
    squares = np.pad(np.array(squares) / 16, ((0, 1), (0, 1), (0, 0)), mode="edge")
    means = (squares[:-1, :-1] + squares[1:, :-1] + squares[:-1, 1:] + squares[1:, 1:]) / 4
    np.testing.assert_allclose(Pixels(2)(x), [np.tanh(means)], rtol=1e-6)


def test_a_pattern_of_the_squares_is_no_pattern_of_pixels():
    square = np.random.default_rng(0).normal(size=12).astype(np.float32)  # the same everywhere
    image = Pixels(2)(tf.constant(np.broadcast_to(square, [1, 8, 8, 12])))
    inside = image[0, :-1, :-1]
    np.testing.assert_allclose(inside, np.broadcast_to(inside[0, 0], inside.shape), atol=1e-6)


@pytest.mark.parametrize(
    "dtype, tolerance", [("float32", 1e-6), ("bfloat16", 1e-2), ("float16", 1e-3)]
)
def test_leaky_relu_and_its_gradient_in_each_precision(dtype, tolerance):
    x = tf.constant([-2.0, -0.5, 0.5, 3.0], dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activate(x, "leaky_relu", 0.02)
    gradient = tape.gradient(y, x)
    assert y.dtype == gradient.dtype == x.dtype
    np.testing.assert_allclose(tf.cast(y, tf.float32), [-0.04, -0.01, 0.5, 3.0], rtol=tolerance)
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), [0.02, 0.02, 1, 1], rtol=tolerance)


def test_gradient_of_the_gradient_of_leaky_relu():
    """As the penalty on the discriminator's slope asks for it."""
    x, w = tf.constant([-2.0, -0.5, 0.5, 3.0]), tf.constant([1.0, 2.0, 3.0, 4.0])
    with tf.GradientTape() as outer:
        outer.watch([x, w])
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = w * activate(x, "leaky_relu", 0.2)
        square = tf.square(inner.gradient(y, x))
    by_x, by_w = outer.gradient(square, [x, w], unconnected_gradients="zero")
    np.testing.assert_array_equal(by_x, tf.zeros(4))
    np.testing.assert_allclose(by_w, [0.08, 0.16, 6.0, 8.0], rtol=1e-6)


def test_maxout_takes_the_larger_of_two_pieces():
    x = tf.constant([[1.0, -5.0, 0.0, 7.0]])
    np.testing.assert_array_equal(activate(x, "maxout", 0.0), [[1.0, 7.0]])


def _convolve(x, kernel):
    """Cross-correlation with zero padding, [B, H, W, C] and [3, 3, C, F], by SciPy."""
    return np.stack(
        [
            np.stack(
                [
                    sum(
                        scipy.signal.correlate(image[..., c], kernel[..., c, f], mode="same")
                        for c in range(kernel.shape[2])
                    )
                    for f in range(kernel.shape[3])
                ],
                axis=-1,
            )
            for image in x
        ]
    )


def _batch_norm(x):
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)


def _leaky_relu(x):
    return np.where(x > 0, x, 0.02 * x)


def test_residual_block_against_numpy():
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype(np.float32)
    block = ResidualBlock(batch_norms=BatchNorms())
    y = block(x, training=True)
    first, second = (part.conv.kernel.numpy() for part in (block.first, block.second))
    change = _batch_norm(_convolve(_leaky_relu(_batch_norm(_convolve(x, first))), second))
    np.testing.assert_allclose(y, _leaky_relu(x + change), atol=1e-4)


@pytest.mark.parametrize(
    "policy, tolerance", [("float32", 1e-5), ("mixed_bfloat16", 3e-2), ("mixed_float16", 3e-3)]
)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_against_its_definition(policy, tolerance, training):
    rng = np.random.default_rng(2)
    layer = BatchNorms(momentum=0.9).make(policy)
    x = tf.cast(rng.normal(0.3, 2.0, size=(3, 4, 5, 6)), layer.compute_dtype)
    layer.build(x.shape)
    gamma, beta, mean, variance = rng.uniform(0.5, 2.0, size=(4, 6)).astype(np.float32)
    layer.set_weights([gamma, beta, mean, variance])
    dy = rng.normal(size=x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        variables = keras_versions.trained(layer)
        gradients = tape.gradient(y, [x, *variables], tf.cast(dy, y.dtype))
    assert y.dtype == gradients[0].dtype == x.dtype
    with tf.GradientTape() as tape:
        exact = [tf.cast(v, tf.float64) for v in (x, gamma, beta)]
        tape.watch(exact)
        statistics = tf.nn.moments(exact[0], (0, 1, 2)) if training else (mean, variance)
        of_mean, of_variance = (tf.cast(v, tf.float64) for v in statistics)
        expected = (exact[0] - of_mean) / tf.sqrt(of_variance + 1e-5) * exact[1] + exact[2]
        expected_gradients = tape.gradient(expected, exact, dy)
    for value, wanted in zip([y, *gradients], [expected, *expected_gradients]):
        value = tf.cast(value, tf.float64)
        np.testing.assert_allclose(value, wanted, atol=tolerance * np.abs(wanted).max())
    moved = layer.get_weights()[2:]
    if training:
        of_batch = of_mean, of_variance * 60 / 59  # of 3 * 4 * 5 values, unbiased
        mean, variance = (0.9 * v + 0.1 * b for v, b in zip((mean, variance), of_batch))
    np.testing.assert_allclose(moved, [mean, variance], rtol=1e-5)


@pytest.mark.parametrize("synchronized", [False, True])
def test_batch_norm_builds_by_itself_in_a_graph(synchronized):
    """Keras 3 tries layers out so, and hides an error that its name would cause."""
    layer = BatchNorms(momentum=0.9, synchronized=synchronized).make("float32")
    x = tf.random.stateless_normal([2, 4, 4, 3], [0, 1])
    in_graph = tf.function(lambda x: layer(x, training=False), autograph=False)
    np.testing.assert_allclose(in_graph(x), x / np.sqrt(1 + 1e-5), rtol=1e-5)


def test_weight_normalised_block_against_numpy():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    block = ConvBlock(5, 3, norm="weight")
    block(x)
    g, bias = rng.normal(size=(2, 5)).astype(np.float32)
    block.conv.g.assign(g)
    block.conv.bias.assign(bias)
    v = block.conv.v.numpy()
    kernel = g * v / np.sqrt((v**2).sum((0, 1, 2)))
    np.testing.assert_allclose(block(x), _leaky_relu(_convolve(x, kernel) + bias), atol=1e-5)
