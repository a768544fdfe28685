"""What training starts from."""

import numpy as np
import pytest

from hali_tf import data
from hali_tf.config import Config
from hali_tf.errors import UsageError, UserError
from hali_tf.measures import reconstruction
from hali_tf.runs.reopening import load_run, open_data
from hali_tf.training import devices
from hali_tf.training.fit import build, fit
from tests.training.tiny import config_of


@pytest.mark.parametrize("left", ["metrics.jsonl", "summary.json", "checkpoints/best"])
def test_run_that_lost_its_checkpoints_is_not_begun_again(tmp_path, left):
    config = config_of(tmp_path)
    (tmp_path / left).mkdir(parents=True)
    with pytest.raises(UserError, match=f"{left} is there, but no checkpoint"):
        fit(config, open_data(config), devices.make_strategy(1))
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    "flags, kind, words",
    [
        ({"optimizer": "Foo"}, UsageError, "no optimiser 'Foo'"),
        (
            {"labels_per_class": 200, "classes": 10},
            UserError,
            "class 0 has .* training images; expected at least so many",
        ),
    ],
)
def test_start_that_fails_leaves_no_configuration(tmp_path, flags, kind, words):
    config = config_of(tmp_path, **flags)
    with pytest.raises(kind, match=words):
        fit(config, open_data(config), devices.make_strategy(1))
    assert not list(tmp_path.iterdir())


def test_the_best_checkpoint_is_that_of_the_lowest_error(tmp_path, monkeypatch):
    errors = iter([0.3, 0.2, 0.4, 0.25])  # of steps 1 to 4; then the summary's
    monkeypatch.setattr(reconstruction, "errors", lambda *_, **__: {"rmse_1": next(errors, 0.5)})
    config = config_of(tmp_path, model="vae", checkpoint_every=1)
    fit(config, open_data(config), devices.make_strategy(1))
    assert int(load_run(str(tmp_path), "best")[1].step) == 2


def test_a_resumed_run_keeps_its_best_checkpoint(tmp_path, monkeypatch):
    errors = iter([0.3, 0.2, 0.5, 0.4, 0.25])  # of steps 1 and 2, the summary's, of steps 3 and 4
    monkeypatch.setattr(reconstruction, "errors", lambda *_, **__: {"rmse_1": next(errors, 0.5)})
    for steps in (2, 4):
        config = config_of(tmp_path, model="vae", checkpoint_every=1, steps=steps)
        fit(config, open_data(config), devices.make_strategy(1))
    assert int(load_run(str(tmp_path), "best")[1].step) == 2


@pytest.mark.parametrize(
    "maker, flags, expected",
    [
        ("train_batches", {"flip": True}, {"flip": True}),
        ("train_batches", {}, {"flip": False}),
        (
            "semi_supervised_batches",
            {"labels_per_class": 2, "classes": 10, "label_shift": 2, "label_warp": 0.1},
            {"flip": False, "shift": 2, "warp": 0.1, "spread": None},
        ),
    ],
)
def test_flags_of_the_batches_reach_them(tmp_path, monkeypatch, maker, flags, expected):
    class Seen(Exception):
        pass

    def recorded(*_, share, **flags):
        raise Seen(flags)

    monkeypatch.setattr(data, maker, recorded)
    config = config_of(tmp_path, **flags)
    with pytest.raises(Seen) as seen:
        fit(config, open_data(config), devices.make_strategy(1))
    assert seen.value.args == (expected,)


def first_weights(seed):
    config = Config.of(
        dry_run=True, width=0.01, channels=1, seed=seed, precision="float32"
    ).validate()
    model = build(config, devices.make_strategy(1))
    return [weight.numpy() for weight in model.trainable_variables]


def test_first_weights_follow_from_the_seed():
    """Else a run killed before its first checkpoint would not come again."""
    one, same, other = first_weights(1), first_weights(1), first_weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same))
    assert sum(np.array_equal(a, b) for a, b in zip(one, other)) < len(one)
