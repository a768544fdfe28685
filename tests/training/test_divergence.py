"""Collapse and non-finite values, and the way back."""

import json
import os
import re
import signal
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hali_tf.errors import UsageError
from hali_tf.files import write_text
from hali_tf.runs.checkpoints import Checkpoints
from hali_tf.runs.metrics_file import read
from hali_tf.runs.reopening import copy_weights, load_run, make_model, open_data
from hali_tf.training import devices
from hali_tf.training.callbacks import Interrupted
from hali_tf.training.divergence import Collapse, Diverged, Rollbacks
from hali_tf.training.fit import _begin, build, fit
from tests import commands
from tests.training.tiny import ALONE, config_of
from tests.training_command import TINY

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), np.uint8)


class Model:
    """Two levels; `latents` and `images` say of each level how far examples differ."""

    logged = ("d_loss", "accuracy_q", "accuracy_p")
    num_levels = 2

    def __init__(self, latents=(1.0, 1.0), images=(1.0, 1.0)):
        self._latents, self._images = latents, images

    def encode(self, images):
        z = np.random.default_rng(1).standard_normal((len(images), 3))
        return [types.SimpleNamespace(mean=tf.constant(3 + s * z)) for s in self._latents]

    def reconstruct(self, images, level):
        return tf.constant(100 + self._images[level - 1] * (images - 100.0))


def measure(model, accuracy=0.9, step=1000):
    collapse = Collapse(model)
    for _ in range(3):
        collapse.add({"d_loss": 1.0, "accuracy_q": 1.0, "accuracy_p": accuracy})
    return collapse.measure(IMAGES, step)


def test_health_is_measured_and_nothing_said():
    measures, said = measure(Model())
    assert said == []
    assert measures["image_spread_1"] == measures["image_spread_2"] == pytest.approx(1)
    assert measures["latent_spread_1"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    "settings, accuracy, words",
    [
        ({}, 0.9951, "the discriminator has won: it tells 99.5% of the examples of both sides"),
        ({"latents": (1.0, 0.008)}, 0.9, "the encoder has collapsed: its means of z_2"),
        ({"images": (0.019, 1.0)}, 0.9, "the decoder has collapsed: .* same image of every z_1"),
    ],
)
def test_collapse_of_each_side_is_said_in_words_from_step_500_on(settings, accuracy, words):
    _, (said,) = measure(Model(**settings), accuracy, step=500)
    assert re.match(words, said)
    assert measure(Model(**settings), accuracy, step=499)[1] == []


def test_what_is_just_above_the_limits_is_no_collapse():
    model = Model(latents=(1.0, 0.013), images=(0.021, 1.0))
    assert measure(model, accuracy=0.9949)[1] == []


def test_one_image_alone_says_nothing_of_a_collapse():
    assert Collapse(Model()).measure(IMAGES[:1], 1000)[1] == []


def test_a_model_without_a_game_has_no_accuracies():
    model = Model()
    model.logged = ("elbo",)
    collapse = Collapse(model)
    collapse.add({"elbo": -3.0})
    assert collapse.measure(IMAGES, 1000)[1] == []


class Saved(tf.Module):
    """What a checkpoint needs of a model."""

    def __init__(self):
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64)

    def use_stream(self, number):
        self.path = number


@pytest.mark.parametrize("kind, expected", [("collapse", 2), ("non-finite", 4)])
def test_way_back_is_bounded_and_remembered(tmp_path, kind, expected):
    model = Saved()
    checkpoints, rollbacks = Checkpoints(str(tmp_path), model), Rollbacks(str(tmp_path), ALONE)
    rollbacks.resume_stream(model)
    assert model.path == 0
    for step, which in ((2, "last"), (2, "best"), (3, "last"), (4, "last")):
        model.step.assign(step)
        checkpoints.save(which)
    model.step.assign(5)
    error = Diverged("d_loss is nan at step 5", 5, kind)
    for number in (1, 2, 3):
        assert rollbacks.take(error, model, checkpoints) == int(model.step) == expected
        assert model.path == number
    with pytest.raises(Diverged, match="d_loss is nan at step 5; the run has gone back 3 times"):
        rollbacks.take(error, model, checkpoints)
    again = Saved()
    assert Checkpoints(str(tmp_path), again).restore() == expected  # as a kill would find it
    Rollbacks(str(tmp_path), ALONE).resume_stream(again)
    assert again.path == 3
    assert json.loads((tmp_path / "rollbacks.json").read_text())[0] == {
        "at": 5,
        "to": expected,
        "reason": "d_loss is nan at step 5",
    }


def fitted(config):
    fit(config, open_data(config), devices.make_strategy(1))
    return load_run(config.run_dir)[1]


def test_rollback_goes_on_with_other_draws(tmp_path, monkeypatch):
    """At its first sight at step 4 the model counts as collapsed."""
    seen = []

    def measured(self, images, step):
        seen.append(step)
        return {}, ["all is lost"] if seen.count(4) == 1 and step == 4 else []

    monkeypatch.setattr(Collapse, "measure", measured)
    flags = {"on_divergence": "rollback", "checkpoint_every": 2, "steps": 4, "log_every": 1}
    model = fitted(config_of(tmp_path / "back", **flags))
    assert seen == [2, 4, 4] and int(model.step) == 4
    (taken,) = json.loads((tmp_path / "back" / "rollbacks.json").read_text())
    assert (taken["at"], taken["to"]) == (4, 2) and "all is lost" in taken["reason"]
    lines = [line for line in read(tmp_path / "back" / "metrics.jsonl") if "d_loss" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    fitted(config_of(tmp_path / "straight", **flags))
    others = [line for line in read(tmp_path / "straight" / "metrics.jsonl") if "d_loss" in line]
    same = [one["d_loss"] == other["d_loss"] for one, other in zip(lines, others)]
    assert same == [True, True, False, False]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tensorflow-addons is for Python to 3.11")
def test_rollback_of_an_addons_optimiser_reaches_the_start(tmp_path, monkeypatch):
    """At its first sight, at the first evaluation, the model counts as collapsed."""
    seen = []

    def measured(self, images, step):
        seen.append(step)
        return {}, ["all is lost"] if len(seen) == 1 else []

    monkeypatch.setattr(Collapse, "measure", measured)
    flags = {"on_divergence": "rollback", "checkpoint_every": 2, "steps": 2}
    model = fitted(config_of(tmp_path, optimizer="addons/AdaBelief", **flags))
    assert seen == [2, 2] and int(model.step) == 2
    (taken,) = json.loads((tmp_path / "rollbacks.json").read_text())
    assert (taken["at"], taken["to"]) == (2, 0)


def test_a_signal_outlives_the_way_back(tmp_path, monkeypatch):
    """It comes at step 4, where the model counts as collapsed."""

    def measured(self, images, step):
        if step < 4:
            return {}, []
        os.kill(os.getpid(), signal.SIGTERM)
        return {}, ["all is lost"]

    monkeypatch.setattr(Collapse, "measure", measured)
    flags = {"on_divergence": "rollback", "checkpoint_every": 2, "steps": 9, "model": "vae"}
    with pytest.raises(Interrupted, match="SIGTERM at step 3, which is saved") as stopped:
        fitted(config_of(tmp_path, **flags))
    assert stopped.value.exit_code == 143
    assert int(load_run(str(tmp_path))[1].step) == 3


def test_the_way_back_passes_a_damaged_best_checkpoint(tmp_path, said):
    model = Saved()
    checkpoints = Checkpoints(str(tmp_path), model)
    for step, which in ((2, "best"), (3, "last")):
        model.step.assign(step)
        checkpoints.save(which)
    (tmp_path / "checkpoints" / "best" / "ckpt-2.index").write_bytes(b"")
    assert checkpoints.go_back("best") == int(model.step) == 3
    assert "best: cannot be read; the last one is used" in said()


def collapse_lines(folder):
    """Which steps' lines of metrics.jsonl, and which texts of TensorBoard, tell of a collapse."""
    lines = {n["step"]: n["collapse"] for n in read(folder / "metrics.jsonl") if "collapse" in n}
    events = EventAccumulator(str(folder / "logs"), size_guidance={"tensors": 0}).Reload()
    texts = events.Tensors("collapse") if "collapse" in events.Tags()["tensors"] else []
    return lines, {event.step: event.tensor_proto.string_val[0].decode() for event in texts}


def test_a_warning_is_said_everywhere_and_training_goes_on(tmp_path, monkeypatch, said):
    """At step 2 of 4 the model counts as collapsed, by two measures."""

    def measured(self, images, step):
        return {"latent_spread_1": 0.5}, ["all is lost", "none is left"] if step == 2 else []

    monkeypatch.setattr(Collapse, "measure", measured)
    flags = {"model": "vae", "on_divergence": "warn", "checkpoint_every": 2}
    assert int(fitted(config_of(tmp_path, **flags)).step) == 4
    assert "step 2: all is lost; none is left" in said() and "step 4" not in said()
    lines, texts = collapse_lines(tmp_path)
    assert lines == {2: ["all is lost", "none is left"]}
    assert texts == {2: "all is lost; none is left"}
    spreads = [n["latent_spread_1"] for n in read(tmp_path / "metrics.jsonl") if "rmse_1" in n]
    assert spreads == [0.5, 0.5]
    assert not (tmp_path / "rollbacks.json").exists()


def test_a_stop_names_the_best_checkpoint_and_loses_none(tmp_path):
    """At its first sight at step 4 of 6 the model counts as collapsed."""
    flags = (*TINY, "--model=vae", "--on_divergence=stop", "--steps=6", f"--run_dir={tmp_path}")
    code, out, err = commands.run("tests.collapsing", *flags)
    assert (code, out) == (1, ""), err
    words = err.splitlines()[-1]
    assert words.startswith("hali_tf: step 4: all is lost. Start again in a new --run_dir")
    assert words.endswith("from the best checkpoint by --init_from=THIS RUN:best")
    assert "Traceback" not in err
    assert collapse_lines(tmp_path) == ({4: ["all is lost"]}, {4: "all is lost"})
    for name in ("ckpt-0", "ckpt-2", "best/ckpt-2"):
        assert (tmp_path / "checkpoints" / f"{name}.index").exists()
    assert not list(tmp_path.glob("checkpoints/**/ckpt-4*"))  # nothing after the collapse
    assert not (tmp_path / "rollbacks.json").exists()
    fresh = config_of(tmp_path.parent / "new", model="vae", init_from=f"{tmp_path}:best")
    copy_weights(fresh.model.init_from, make_model(fresh))


def test_a_stop_without_a_best_checkpoint_names_none(tmp_path, monkeypatch):
    monkeypatch.setattr(Collapse, "measure", lambda *_: ({}, ["all is lost"]))
    flags = {"model": "vae", "on_divergence": "stop", "checkpoint_every": 1}
    with pytest.raises(Diverged, match="^step 1: all is lost.*--gradient_penalty=1$") as caught:
        fitted(config_of(tmp_path, **flags))
    assert (caught.value.step, caught.value.kind, caught.value.exit_code) == (1, "collapse", 1)


@pytest.mark.slow
def test_what_is_never_finite_stops_in_the_end(tmp_path):
    config = config_of(tmp_path, learning_rate=1e30, on_divergence="rollback")
    with pytest.raises(Diverged, match="the run has gone back 3 times already"):
        fitted(config)


def random_run(config, seed):
    model = make_model(config)
    rng = np.random.default_rng(seed)
    for variable in [*model.discriminator.weights, *model.average.encoder.weights]:
        variable.assign(rng.standard_normal(variable.shape))
    model.step.assign(7)
    Checkpoints(config.run_dir, model).save()
    Checkpoints(config.run_dir, model).save("best")
    write_text(os.path.join(config.run_dir, "config.json"), config.to_json())
    return model


@pytest.mark.parametrize("which", ["", ":best"])
def test_new_run_begins_with_the_weights_of_another(tmp_path, which):
    (tmp_path / "old").mkdir()
    config = config_of(tmp_path / "old")
    source = random_run(config, 0)
    model = make_model(config)
    copy_weights(f"{tmp_path / 'old'}{which}", model)
    assert int(model.step) == 0
    for name, network in source.networks.items():
        for a, b in zip(network.weights, model.networks[name].weights):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(source.average.encoder.weights, model.average.encoder.weights):
        np.testing.assert_array_equal(a, b)


def test_weights_of_another_architecture_are_refused(tmp_path):
    (tmp_path / "old").mkdir()
    random_run(config_of(tmp_path / "old"), 0)
    other = make_model(config_of(tmp_path / "new", width=0.5))
    before = [weight.numpy() for weight in other.trainable_variables]
    with pytest.raises(UsageError, match="does not fit this model .* repeat the flags"):
        copy_weights(str(tmp_path / "old"), other)
    assert all(np.array_equal(a, b) for a, b in zip(before, other.trainable_variables))


def test_networks_that_the_other_run_lacks_are_initialised_from_data(tmp_path):
    """Weight normalisation's g is the norm of v before, and not after."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    source = random_run(config_of(tmp_path / "old"), 0)
    config = config_of(tmp_path / "new", image_discriminator=True, init_from=str(tmp_path / "old"))
    model = build(config, devices.make_strategy(1))
    train = open_data(config).load("train")
    _begin(config, model, train, Checkpoints(config.run_dir, model), ALONE)
    first = model.image_discriminator.joint.stack[0].conv
    norm = np.sqrt(np.square(first.v).sum(axis=(0, 1, 2)))
    assert not np.allclose(first.g, norm, rtol=1e-2)
    for a, b in zip(source.discriminator.weights, model.discriminator.weights):
        np.testing.assert_array_equal(a, b)
    before = [weight.numpy() for weight in model.image_discriminator.weights]
    model.initialize_from_data(train.part(config.optimisation.batch_size).images)
    for a, b in zip(before, model.image_discriminator.weights):  # by the other run's decoder
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
