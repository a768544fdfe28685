"""Agreement by hand, and the classifier from its flags to its decisions."""

import dataclasses
import json
import os
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image

from hali_tf.attributes import classifier as classifiers
from hali_tf.attributes import training
from hali_tf.config import ClassifierConfig
from hali_tf.data import Source, Split
from hali_tf.errors import UsageError, UserError
from hali_tf.evaluation import attributes
from hali_tf.evaluation.context import Context, Subject
from hali_tf.evaluation.report import published
from tests.exporting.runs import make_run

NAMES = ("Bright", "Red", "Any")
ENCODER = {"architecture": "hali16", "width": 0.5}


def faces(size=16, counts=(("train", 80), ("validation", 12), ("test", 12))):
    """A source of one-coloured images: brightness and colour are attributes, the last is chance."""
    splits = {}
    for seed, (name, count) in enumerate(counts):
        rng = np.random.default_rng(seed)
        labels = (rng.random((count, 3)) > 0.5).astype(np.uint8)
        images = np.full((count, size, size, 3), 20) + 100 * labels[:, :1, None, None]
        images[..., 0] += 100 * labels[:, 1, None, None]
        images += rng.integers(0, 15, images.shape)
        splits[name] = Split(images.astype(np.uint8), labels)
    return Source("faces", (size, size, 3), splits.__getitem__, NAMES, multi_label=True)


def config_of(folder, **values):
    return ClassifierConfig(
        **{
            "data": "celeba",
            "out": str(folder),
            "weights": "none",
            "frozen_blocks": 0,
            "batch_size": 8,
            "epochs": 12,
            "precision": "float32",
            "learning_rate": 3e-3,
            **values,
        }
    ).validate()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of a small classifier."""
    folder = tmp_path_factory.mktemp("classifier") / "out"
    training.train(config_of(folder), faces(), ENCODER)
    return folder


def decisions(*rows):
    return np.array(rows, np.uint8)


# Agreement.


def test_agreement_by_hand():
    on_images = decisions([1, 0], [1, 0], [1, 0], [0, 0])
    rebuilt = decisions([1, 0], [1, 1], [0, 0], [1, 0])
    found = attributes.agreement(on_images, rebuilt)
    # First attribute: 2 of 3 keep it, 0 of 1 keep its absence. None has the second.
    np.testing.assert_allclose(found["plain"], [50, 75])
    np.testing.assert_allclose(found["balanced"], [100 * (2 / 3 + 0) / 2, 75])
    np.testing.assert_allclose(found["kept"], [100 * 2 / 3, 100])


def test_the_answer_by_hand():
    labels = decisions([1, 1], [0, 1], [1, 0], [0, 0])
    original = decisions([1, 1], [0, 1], [0, 0], [0, 0])
    good, bad = original, 1 - original
    answer = attributes.tabulate(
        ("A", "B"), labels, {"Data": original, "HALI z_1": good, "HALI z_2": bad, "VAE": good}
    )
    assert answer["data"] == {"balanced": [75, 100], "plain": [75, 100]}
    assert answer["levels"]["HALI z_2"]["balanced"] == [0, 0]
    assert answer["summary"]["balanced"]["HALI z_1"] == {"mean": 100, "std": 0, "best": 2}
    assert [row["best"] for row in answer["summary"]["plain"].values()] == [2, 0, 2]
    assert answer["orders"] == {"HALI z_1 above HALI z_2": True, "HALI z_1 above VAE": False}
    text = attributes.report(json.loads(json.dumps(answer)))
    assert "HALI z_1 100.0 %, HALI z_2 0.0 %" in text.split("\n\n")[0]
    assert "HALI z_1 above VAE: no." in text
    assert "| B | 100.0 | 100.0 | 0.0 | 100.0 |" in text


def test_published_scores_stand_beside_the_forty_attributes():
    names = list(published.attribute_preservation()["Data"])
    original = (np.random.default_rng(0).random((30, 40)) > 0.5).astype(np.uint8)
    answer = attributes.tabulate(names, original, {"Data": original, "HALI z_1": original})
    text = attributes.report(answer)
    assert "| Bald | 100.0 (77) | 100.0 (94) |" in text
    assert "| HALI z_1 | 100.0 | 0.000 | 40 | 100.0 | 100.0 | 91.35 | 5.618 | 30 |" in text
    assert "| ALI | – | – | – | – | – | 84.60 |" in text


# The classifier.


def test_it_learns_and_what_is_told_of_it_is_so(trained):
    card = classifiers.card(trained)
    assert sorted(os.listdir(trained)) == ["classifier.json", "config.json", "weights.npz"]
    source = faces()
    validation = source.load("validation")
    classifier = classifiers.load(trained)
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


def test_decisions_do_not_depend_on_the_batch(trained):
    classifier = classifiers.load(trained)
    images = np.concatenate([faces().load("train").images] * 4)  # more than one batch
    np.testing.assert_allclose(
        classifier.probabilities(images)[-3:], classifier.probabilities(images[-3:]), atol=1e-6
    )


def test_a_trained_one_is_left_as_it_is(trained):
    before = os.stat(trained / "weights.npz").st_mtime_ns
    card = training.train(config_of(trained), faces(), ENCODER)
    assert os.stat(trained / "weights.npz").st_mtime_ns == before
    assert card == classifiers.card(trained)


def test_another_configuration_is_refused(trained):
    with pytest.raises(UserError, match="another configuration.*--epochs: 3 here, 12 there"):
        training.train(config_of(trained, epochs=3), faces(), ENCODER)


def test_stopped_and_gone_on_is_as_never_stopped(tmp_path, monkeypatch):
    weights = []
    for folder, stop in ((tmp_path / "straight", False), (tmp_path / "stopped", True)):
        config = config_of(folder, epochs=2)
        if stop:
            step = training._Bar.at

            def at(self, number, logs):
                step(self, number, logs)
                if number == 12:  # after the checkpoint of the first epoch, step 10
                    raise RuntimeError("power cut")

            with monkeypatch.context() as patch:
                patch.setattr(training._Bar, "at", at)
                with pytest.raises(RuntimeError):
                    training.train(config, faces(), ENCODER)
            assert not (folder / "classifier.json").exists()
        training.train(config, faces(), ENCODER)
        with np.load(folder / "weights.npz") as arrays:
            weights.append([arrays[name] for name in arrays.files])
    for one, other in zip(*weights):
        np.testing.assert_array_equal(one, other)


# VGG16.


@pytest.fixture(scope="module")
def vgg_weights(tmp_path_factory):
    """A file of VGG16's convolutions as keras.applications has it, of random weights."""
    keras.utils.set_random_seed(0)
    vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    path = tmp_path_factory.mktemp("vgg") / "vgg16.weights.h5"
    vgg.save_weights(path)
    return path, vgg


@pytest.mark.parametrize("frozen_blocks", [0, 3, 5])
def test_vgg16_is_keras_own(vgg_weights, frozen_blocks):
    path, vgg = vgg_weights
    trunk = classifiers.VGG16((32, 32, 3), str(path), frozen_blocks)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    expected = vgg(keras.applications.vgg16.preprocess_input(images.astype(np.float32)))
    np.testing.assert_allclose(trunk(trunk.fixed(images)), expected, rtol=1e-4, atol=1e-5)
    convolutions = {0: 13, 3: 6, 5: 0}[frozen_blocks]
    assert len(trunk.trainable_variables) == 2 * convolutions


@pytest.mark.parametrize("frozen_blocks", [0, 4])
def test_vgg16_trains_above_its_frozen_blocks(vgg_weights, tmp_path, frozen_blocks):
    path, vgg = vgg_weights
    config = config_of(
        tmp_path, weights=str(path), frozen_blocks=frozen_blocks, epochs=1, learning_rate=1e-4
    )
    source = faces(32, (("train", 10), ("validation", 4), ("test", 4)))
    training.train(config, source)
    classifier = classifiers.load(tmp_path)
    layers = classifier.trunk.frozen + classifier.trunk.tuned
    weights = {layer.name: layer.get_weights() for layer in layers}
    for layer in vgg.layers:
        if layer.weights:
            trained = int(layer.name[5]) > frozen_blocks
            assert np.any(weights[layer.name][0] != layer.get_weights()[0]) == trained
    assert not (tmp_path / "features.npy").exists()


def test_features_are_those_of_images_then_of_mirrored_then_of_degraded_ones(tmp_path):
    trunk = types.SimpleNamespace(fixed=lambda images: keras.backend.cast(images, "float32"))
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    labels = np.arange(10, dtype=np.uint8).reshape(5, 2)
    split = training._features(trunk, Split(images, labels), str(tmp_path / "f.npy"), 0)
    clean = np.concatenate([images, images[:, :, ::-1]])
    np.testing.assert_array_equal(split.images[:10], clean)
    for found, expected in zip(split.images[10:], clean):
        assert 0 < np.abs(found - expected.astype(float)).mean() < 30  # noise, and not the others
    np.testing.assert_array_equal(split.labels, np.concatenate([labels] * 4))


def is_mirrored(found, image):
    """Which of the two it is; neither fails."""
    same, other = np.array_equal(found, image), np.array_equal(found, image[:, ::-1])
    assert same != other
    return other


def test_an_encoders_images_are_mirrored_at_random(trained):
    classifier = classifiers.load(trained)
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    found = classifier._varied(images, [0, 1]).numpy()
    assert 16 < sum(map(is_mirrored, found, images)) < 48


def test_every_second_image_of_vgg16_is_degraded(trained):
    classifier = classifiers.load(trained)
    classifier.trunk.DEGRADED = classifiers.VGG16.DEGRADED
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    found = classifier._varied(images, [0, 1]).numpy()
    for image in range(0, 6, 2):
        is_mirrored(found[image], images[image])
    for image in range(1, 6, 2):
        assert not np.array_equal(found[image], images[image])
        assert not np.array_equal(found[image], images[image][:, ::-1])


def test_too_small_images_for_vgg16():
    with pytest.raises(UserError, match="16x16: VGG16 needs 32"):
        classifiers.VGG16((16, 16, 3))


def test_a_file_that_is_no_weights(tmp_path):
    path = tmp_path / "vgg.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="--weights=.*vgg.h5: not VGG16"):
        classifiers.VGG16((32, 32, 3), str(path))


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure on https://...: None -- unreachable")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(UserError, match="cannot download.*--weights=FILE") as caught:
        classifiers.VGG16((32, 32, 3), "imagenet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"data": ""}, "--data is empty"),
        ({"out": ""}, "--out is empty"),
        ({"weights": "none", "frozen_blocks": 2}, "--weights=none with --frozen_blocks=2"),
        ({"weights": "missing.h5"}, "--weights=missing.h5: no such file"),
        ({"frozen_blocks": 6}, "--frozen_blocks=6: expected below 6"),
        ({"encoder_of": "runs/x"}, "--data with --encoder_of"),
        ({"epochs": 0}, "--epochs=0"),
    ],
)
def test_flags_that_cannot_work(values, message):
    with pytest.raises(UsageError, match=message):
        ClassifierConfig(**{"data": "celeba", "out": "runs/vgg16", **values}).validate()


def test_the_learning_rate_suits_the_start():
    config = ClassifierConfig(data="celeba", out="x")
    assert config.validate().learning_rate == 1e-4
    random = dataclasses.replace(config, weights="none", frozen_blocks=0)
    assert random.validate().learning_rate == 1e-3
    encoder = ClassifierConfig(encoder_of="runs/x").validate()
    assert (encoder.out, encoder.learning_rate) == (os.path.join("runs/x", "supervised"), 1e-3)


# The question.


class Keeper:
    """Level 1 gives images back, level 2 a black one."""

    num_levels = 2

    def reconstruct(self, images, level):
        return images if level == 1 else images * 0


def context_of(folder, classifier, source=None):
    subject = Subject("HALI", str(folder), None, Keeper())
    return Context((subject,), source or faces(), str(folder), classifier_dir=str(classifier))


def test_the_question_on_a_model_that_keeps_all_and_nothing(trained, tmp_path):
    context = context_of(tmp_path, trained)
    assert attributes.unanswerable(context) is None
    answer = attributes.answer(context)
    assert answer["images"] == 12
    assert answer["levels"]["HALI z_1"]["balanced"] == [100, 100, 100]
    assert answer["levels"]["HALI z_2"]["balanced"][:2] == [50, 50]
    assert answer["data"]["plain"] == classifiers.card(trained)["validation"]["plain"]
    assert attributes.inputs(context)["classifier"][0].endswith("classifier.json")


def test_what_cannot_answer(trained, tmp_path):
    assert "no attribute classifier" in attributes.unanswerable(context_of(tmp_path, ""))
    classes = dataclasses.replace(faces(), multi_label=False)
    assert "no attributes" in attributes.unanswerable(context_of(tmp_path, trained, classes))


def test_a_classifier_of_others(trained, tmp_path):
    others = dataclasses.replace(faces(), label_names=("Old", "Red", "Any"))
    with pytest.raises(UserError, match="attributes are .Bright, Red, Any., .* .Old, Red, Any."):
        attributes.answer(context_of(tmp_path, trained, others))
    with pytest.raises(UserError, match="its images are .16, 16, 3., .* .32, 32, 3."):
        attributes.answer(context_of(tmp_path, trained, faces(32)))


@pytest.mark.parametrize("damage", ["missing", "json", "weights"])
def test_a_damaged_classifier(trained, tmp_path, damage):
    for name in () if damage == "missing" else ("classifier.json", "weights.npz"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    if damage == "json":
        (tmp_path / "classifier.json").write_text("{}")
    if damage == "weights":
        (tmp_path / "weights.npz").write_bytes((trained / "weights.npz").read_bytes()[:5000])
    with pytest.raises(UserError, match="classifier.json|weights.npz"):
        classifiers.load(tmp_path)


def test_the_command_trains_the_encoder_of_a_run(tmp_path):
    """Its folder is the run's, its data are the run's."""
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names, partition = ["18", "Bald Smiling"], []
    for i in range(18):
        name = f"{i:06}.png"
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
            folder / "img_align_celeba" / name
        )
        names.append(f"{name} {'1 -1' if i % 2 else '-1 1'}")
        partition.append(f"{name} {i // 6}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(names) + "\n")
    (folder / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    run_dir = make_run(
        tmp_path / "run",
        data="celeba",
        data_dir=str(folder),
        image_size=16,
        channels=3,
        cache_dir=str(tmp_path / "cache"),
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "hali_tf.attributes",
            f"--encoder_of={run_dir}",
            "--epochs=2",
            "--batch_size=4",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    card = classifiers.card(os.path.join(run_dir, "supervised"))
    assert card["attributes"] == ["Bald", "Smiling"] and card["test"]["images"] == 6
    assert f"balanced {np.mean(card['test']['balanced']):.2f} %" in done.stdout


@pytest.mark.parametrize(
    "flags, code, message",
    [
        (["--data=digits", "--out=OUT", "--weights=none", "--frozen_blocks=0"], 1, "no attributes"),
        (["--data=celeba"], 2, "--out is empty"),
        (["--encoder_of=OUT/none"], 1, "config.json: not found"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, flags, code, message):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "hali_tf.attributes",
            *(flag.replace("OUT", str(tmp_path / "out")) for flag in flags),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code
    assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr
