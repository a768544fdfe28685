"""Optimisers by name."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from hali_tf.config.groups import OptimisationConfig
from hali_tf.errors import UsageError
from hali_tf.training.optimizers import make_optimizer

ADDONS = importlib.util.find_spec("tensorflow_addons") is not None


def make(name, **settings):
    """An optimiser of a learning rate of 0.01 and other betas than its own."""
    given = {"learning_rate": 0.01, "beta_1": 0.4, "beta_2": 0.9, **settings}
    return make_optimizer(OptimisationConfig.of(optimizer=name, **given))


ONLY_KERAS_3 = pytest.mark.skipif(ADDONS, reason="Keras 2 can train with it")


def of_addons(*values):
    """A parameter that is skipped where tensorflow-addons does not exist."""
    reason = "tensorflow-addons exists for Python 3.9 to 3.11 alone"
    return pytest.param(*values, marks=pytest.mark.skipif(not ADDONS, reason=reason))


def value(hyper):
    return float(tf.convert_to_tensor(hyper() if callable(hyper) else hyper))


def test_keras_adam_gets_its_settings():
    optimizer = make("Adam")
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert value(optimizer.learning_rate) == pytest.approx(0.01)
    assert (optimizer.beta_1, optimizer.beta_2) == (0.4, 0.9)


@pytest.mark.skipif(ADDONS, reason="tensorflow-addons is at hand")
def test_without_addons_one_line_says_where_they_exist():
    with pytest.raises(UsageError, match="--optimizer=addons/LAMB: .*Python 3.9 to 3.11") as error:
        make("addons/LAMB")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [of_addons("addons/AdaBelief")])
def test_addons_get_theirs(name):
    optimizer = make(name)
    config = optimizer.get_config()
    assert config["learning_rate"] == pytest.approx(0.01)
    assert config["beta_1"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    "name",
    [
        "SGD",
        "RMSprop",
        "Nadam",
        of_addons("addons/AdaBelief"),
        of_addons("addons/LAMB"),
        of_addons("addons/Lookahead"),
        of_addons("addons/RectifiedAdam"),
    ],
)
def test_a_step_goes_downhill(name):
    optimizer = make(name)
    variable = tf.Variable([1.0, -2.0])
    before = float(tf.reduce_sum(variable**2))
    for _ in range(8):  # Lookahead looks back after six, RectifiedAdam starts slowly
        optimizer.apply_gradients([(2 * variable, variable)])
    assert float(tf.reduce_sum(variable**2)) < before


def test_learning_rate_falls():
    """By hand: 0.01 until step 3, then thirds less, on a gradient of 1 without momentum."""
    optimizer = make("SGD", learning_rate_fall="3,6")
    variable, moves = tf.Variable(0.0), []
    for _ in range(7):
        before = float(variable)
        optimizer.apply_gradients([(tf.constant(1.0), variable)])
        moves.append(before - float(variable))
    np.testing.assert_allclose(moves, [0.01] * 4 + [0.02 / 3, 0.01 / 3, 0], atol=1e-8)


@pytest.mark.parametrize(
    "name", ["Adam", of_addons("addons/AdaBelief"), of_addons("addons/Lookahead")]
)
def test_every_kind_can_fall(name):
    optimizer = make(name, learning_rate_fall="1,2")
    variable = tf.Variable([1.0])
    for _ in range(3):
        before = float(variable[0])
        optimizer.apply_gradients([(tf.constant([1.0]), variable)])
    assert float(variable[0]) == before < 1


def test_loss_scaling_wraps():
    optimizer = make("Adam", precision="mixed_float16")
    assert isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)


@pytest.mark.parametrize(
    "name",
    ["Adem", "addons/Adem", "", "Optimizer", "addons/", "legacy", "get", "legacy/Adam", "foo/Adam"],
)
def test_unknown_name_is_refused(name):
    with pytest.raises(UsageError, match="--optimizer=" + name) as error:
        make(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("Adafactor", "refuses the names", marks=ONLY_KERAS_3),
        of_addons("addons/COCOB", "has no learning rate"),
        of_addons("addons/MultiOptimizer", "needs more"),
    ],
)
def test_one_that_cannot_train_here_is_refused(name, reason):
    with pytest.raises(UsageError, match=f"--optimizer={name}: .*{reason}"):
        make(name)


@pytest.mark.parametrize("name", [of_addons("addons/ConditionalGradient")])
def test_one_that_cannot_follow_a_falling_rate_trains_without(name):
    with pytest.raises(UsageError, match=f"--optimizer={name}: .* learning rate that falls"):
        make(name, learning_rate_fall="3,6")
    variable = tf.Variable([1.0, -2.0])
    make(name).apply_gradients([(2 * variable, variable)])
    assert variable.numpy().tolist() != [1.0, -2.0]


@pytest.mark.parametrize(
    "name", ["Adam", of_addons("addons/AdaBelief"), of_addons("addons/Lookahead")]
)
def test_moments_survive_a_checkpoint(name, tmp_path):
    """Two steps, save, two more equal two steps, save, restore elsewhere, two more."""

    def start():
        variable, optimizer = tf.Variable([1.0, -2.0]), make(name)
        return variable, optimizer, tf.train.Checkpoint(variable=variable, optimizer=optimizer)

    def step(variable, optimizer):
        optimizer.apply_gradients([(tf.math.sin(3 * variable) + variable, variable)])

    variable, optimizer, checkpoint = start()
    for _ in range(2):
        step(variable, optimizer)
    path = checkpoint.save(str(tmp_path / "ckpt"))
    for _ in range(2):
        step(variable, optimizer)
    again, optimizer, checkpoint = start()
    if hasattr(optimizer, "build"):
        optimizer.build([again])
    checkpoint.restore(path)
    for _ in range(2):
        step(again, optimizer)
    np.testing.assert_array_equal(again, variable)
