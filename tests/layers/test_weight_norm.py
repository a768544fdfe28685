"""Weight normalisation: equal to tensorflow-addons' where that works, safe where it does not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hali_tf.layers.weight_norm import WeightNormConv2D

X = tf.random.stateless_normal([8, 6, 6, 3], [1, 2])


@pytest.fixture
def addons():
    return pytest.importorskip("tensorflow_addons", reason="exists for Python 3.9 to 3.11 alone")


def _pair(addons, strides, padding, data_init=False, unit_norm=False):
    """Our layer and tfa's around Conv2D, both with the same v."""
    ours = WeightNormConv2D(4, 3, strides, padding)
    ours(X)
    if unit_norm:
        ours.v.assign(tf.nn.l2_normalize(ours.v, [0, 1, 2]))
    conv = keras.layers.Conv2D(4, 3, strides, padding)
    conv.build(X.shape)
    conv.kernel.assign(ours.v)
    theirs = addons.layers.WeightNormalization(conv, data_init=data_init)
    return ours, theirs


@pytest.mark.parametrize("strides, padding", [(1, "same"), (2, "same"), (1, "valid")])
def test_equals_tfa_forward_and_gradients(addons, strides, padding):
    ours, theirs = _pair(addons, strides, padding)
    theirs(X)
    for layer in (ours, theirs):
        layer.g.assign([0.5, 1.0, 2.0, 3.0])
    ours.bias.assign([1.0, 2.0, 3.0, 4.0])
    theirs.layer.bias.assign(ours.bias)

    def run(layer, variables):
        with tf.GradientTape() as tape:
            tape.watch(X)
            y = layer(X)
            loss = tf.reduce_sum(tf.sin(y))
        return [y, *tape.gradient(loss, [X, *variables])]

    mine = run(ours, [ours.v, ours.g, ours.bias])
    tfas = run(theirs, [theirs.v, theirs.g, theirs.layer.bias])
    for a, b in zip(mine, tfas):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_data_initialisation_equals_tfa_where_v_has_unit_norm(addons):
    # tfa takes the deviation before it normalises v, the paper after: equal at norm one.
    ours, theirs = _pair(addons, 1, "same", data_init=True, unit_norm=True)
    theirs(X)
    ours.initialize_from(X)
    np.testing.assert_allclose(ours.g, theirs.g, rtol=1e-4)
    np.testing.assert_allclose(ours.bias, theirs.layer.bias, rtol=1e-4, atol=1e-5)


def test_data_initialisation_normalises_the_outputs_whatever_the_norm_of_v():
    layer = WeightNormConv2D(4, 3)
    layer(X)
    layer.v.assign(7 * layer.v)
    layer.initialize_from(X)
    y = layer(X).numpy()
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)


@pytest.mark.parametrize("of_tensors", [True, False])
def test_g_is_the_norm_of_v_however_the_layer_is_built(of_tensors):
    """Keras 3 drops what `build` assigns where it builds from symbolic inputs alone."""
    layer = WeightNormConv2D(4, 3)
    layer(X if of_tensors else keras.Input((6, 6, 3)))
    v = layer.v.numpy()
    np.testing.assert_allclose(layer.g.numpy(), np.sqrt((v**2).sum((0, 1, 2))), rtol=1e-5)
    assert np.abs(layer.g.numpy() - 1).max() > 0.01  # ones are what the variable begins with


def test_kernel_is_v_at_first():
    layer = WeightNormConv2D(4, 3)
    np.testing.assert_allclose(layer(X), tf.nn.conv2d(X, layer.v, 1, "SAME"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 0.1), ("float16", 0.01)])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_lower_precision_keeps_variables_in_float32(dtype, tolerance, jit_compile):
    layer = WeightNormConv2D(4, 3)
    expected = layer(X)
    y = tf.function(layer, jit_compile=jit_compile, autograph=False)(tf.cast(X, dtype))
    assert y.dtype == dtype and {tf.as_dtype(v.dtype) for v in layer.weights} == {tf.float32}
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected, atol=tolerance)
