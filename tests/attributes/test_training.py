"""Training: what it learns, its folder, stops, and the features of frozen blocks."""

import dataclasses
import json
import os
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.attributes import folder as folders
from hali_tf.attributes import training
from hali_tf.data import Source, Split
from hali_tf.errors import UserError
from hali_tf.training import callbacks, devices
from tests.attributes.faces import ENCODER, NAMES, config_of, faces


def test_it_learns_and_what_is_told_of_it_is_so(trained):
    card = folders.card(trained)
    assert sorted(os.listdir(trained)) == ["classifier.json", "config.json", "weights.npz"]
    source = faces()
    validation = source.load("validation")
    classifier = folders.load(trained)
    probabilities = classifier.probabilities(validation.images)
    found = classifier.decide(validation.images)
    share = source.load("train").labels.mean(axis=0)
    np.testing.assert_allclose(classifier.thresholds, share, rtol=1e-6)
    np.testing.assert_array_equal(found, probabilities > share)
    plain = 100 * np.mean(found == validation.labels, axis=0)
    np.testing.assert_allclose(card["validation"]["plain"], plain)
    assert min(plain[:2]) > 90
    assert card["validation"]["images"] == card["test"]["images"] == 12
    assert card["attributes"] == list(NAMES)


def test_an_attribute_that_all_training_images_have_or_none_is_decided_so(tmp_path):
    source = faces()

    def load(name):
        split = source.load(name)
        labels = split.labels.copy()
        if name == "train":
            labels[:, 1], labels[:, 2] = 1, 0
        return Split(split.images, labels)

    training.train(config_of(tmp_path, epochs=1), dataclasses.replace(source, loader=load), ENCODER)
    found = folders.load(tmp_path).decide(source.load("validation").images)
    assert found[:, 1].all() and not found[:, 2].any()


def test_a_trained_one_is_left_as_it_is(trained):
    before = os.stat(trained / "weights.npz").st_mtime_ns
    card = training.train(config_of(trained), faces(), ENCODER)
    assert os.stat(trained / "weights.npz").st_mtime_ns == before
    assert card == folders.card(trained)


def test_another_configuration_is_refused(trained):
    with pytest.raises(UserError, match="another configuration.*--epochs: 3 here, 12 there"):
        training.train(config_of(trained, epochs=3), faces(), ENCODER)


def test_auto_is_the_precision_that_the_folder_was_begun_with(trained, monkeypatch):
    monkeypatch.setattr(devices, "native_precision", lambda: "mixed_bfloat16")
    card = training.train(config_of(trained, precision="auto"), faces(), ENCODER)
    assert card["config"]["precision"] == "float32"


def weights_of(folder):
    with np.load(folder / "weights.npz") as arrays:
        return [arrays[name] for name in arrays.files]


def test_stopped_and_gone_on_is_as_never_stopped(tmp_path, monkeypatch):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    training.train(config_of(straight, epochs=2), faces(), ENCODER)
    at = callbacks.Progress.at

    def stop(self, step, logs):
        at(self, step, logs)
        if step == 12:  # after the checkpoint of the first epoch, step 10
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Progress, "at", stop)
        with pytest.raises(RuntimeError):
            training.train(config_of(stopped, epochs=2), faces(), ENCODER)
    assert not (stopped / "classifier.json").exists()
    training.train(config_of(stopped, epochs=2), faces(), ENCODER)
    for one, other in zip(weights_of(straight), weights_of(stopped)):
        np.testing.assert_array_equal(one, other)


def stop_before_it_is_measured(folder, monkeypatch):
    def stop(classifier, split):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_measure", stop)
        with pytest.raises(KeyboardInterrupt):
            training.train(config_of(folder, epochs=1), faces(), ENCODER)


def test_resumed_with_other_images_it_is_refused(tmp_path, monkeypatch):
    stop_before_it_is_measured(tmp_path, monkeypatch)
    splits = {name: faces().load(name) for name in ("train", "validation", "test")}
    splits["train"] = Split(splits["train"].images, splits["train"].labels[::-1])
    source = Source("faces", (16, 16, 3), splits.__getitem__, NAMES, multi_label=True)
    with pytest.raises(
        UserError,
        match="not the training images that it was begun with .80 in both, but with other labels",
    ):
        training.train(config_of(tmp_path, epochs=1), source, ENCODER)


def test_stopped_after_its_last_step_it_is_measured_by_the_same_command(tmp_path, monkeypatch):
    stop_before_it_is_measured(tmp_path, monkeypatch)
    card = training.train(config_of(tmp_path, epochs=1), faces(), ENCODER)
    assert card["test"]["images"] == 12 and not (tmp_path / "checkpoints").exists()


def test_features_are_those_of_images_then_of_mirrored_then_of_degraded_ones(tmp_path):
    trunk = types.SimpleNamespace(fixed=lambda images: tf.cast(images, "float32"))
    classifier = types.SimpleNamespace(trunk=trunk, degraded=True)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    labels = np.arange(10, dtype=np.uint8).reshape(5, 2)
    split = training._features(classifier, Split(images, labels), str(tmp_path / "f.npy"), 0)
    clean = np.concatenate([images, images[:, :, ::-1]])
    np.testing.assert_array_equal(split.images[:10], clean)
    for found, expected in zip(split.images[10:], clean):
        assert 0 < np.abs(found - expected.astype(float)).mean() < 30  # noise, and not the others
    np.testing.assert_array_equal(split.labels, np.concatenate([labels] * 4))
    classifier.degraded = False
    split = training._features(classifier, Split(images, labels), str(tmp_path / "g.npy"), 0)
    np.testing.assert_array_equal(split.images, clean)
    np.testing.assert_array_equal(split.labels, np.concatenate([labels] * 2))


def test_damaged_features_are_refused(tmp_path):
    trunk = types.SimpleNamespace(fixed=lambda images: tf.cast(images, "float32"))
    classifier = types.SimpleNamespace(trunk=trunk, degraded=False)
    split, path = Split(np.zeros([5, 8, 6, 3], np.uint8), np.zeros([5, 2])), tmp_path / "f.npy"
    training._features(classifier, split, str(path), 0)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="damaged"):
        training._features(classifier, split, str(path), 0)


def test_what_a_kill_left_beside_a_trained_one_is_removed(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    (tmp_path / "copy" / "checkpoints").mkdir()
    (tmp_path / "copy" / "features.npy").write_text("")
    training.train(config_of(tmp_path / "copy"), faces(), ENCODER)
    assert sorted(os.listdir(tmp_path / "copy")) == sorted(os.listdir(trained))


def test_a_folder_that_could_not_be_read_again_is_refused(tmp_path):
    with pytest.raises(UserError, match="rename the folder"):
        training.train(config_of(tmp_path / "a[1]"), faces(), ENCODER)
    assert not os.listdir(tmp_path)


def test_a_folder_from_before_the_flag_is_of_degraded_images(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "old")
    card = json.loads((tmp_path / "old" / "classifier.json").read_text())
    del card["config"]["degrade"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(card["config"]))
    (tmp_path / "old" / "classifier.json").write_text(json.dumps({**card, "encoder": None}))
    training.train(config_of(tmp_path / "old", degrade=True), faces())
    with pytest.raises(UserError, match="--degrade: False here, True there"):
        training.train(config_of(tmp_path / "old"), faces())


def test_a_folder_of_an_encoder_from_before_the_flag_is_left_as_it_is(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "old")
    old = json.loads((tmp_path / "old" / "config.json").read_text())
    del old["degrade"]
    (tmp_path / "old" / "config.json").write_text(
        json.dumps({**old, "data": "", "encoder_of": "runs/x"})
    )
    flags = {"weights": "imagenet", "frozen_blocks": 4, "degrade": True}  # the defaults
    config = config_of(tmp_path / "old", data="", encoder_of="runs/x", **flags)
    assert training.train(config, faces(), ENCODER) == folders.card(trained)
