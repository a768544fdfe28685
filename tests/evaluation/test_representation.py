"""The question on a model whose features are known: who is trained on what, and what is told."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from hali_tf.data import Source, Split
from hali_tf.errors import UserError
from hali_tf.evaluation import encoder_features, representation
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.representation import Representation
from hali_tf.evaluation.subjects import Subject
from hali_tf.models import HALI
from tests.models.conftest import toy


class Encoder:
    """z_1 is the brightness of each image, z_2 nothing."""

    def maps(self, x):
        brightness = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
        return [([brightness, x], brightness), ([], tf.zeros_like(brightness))]


def subject_of(name="HALI", run_dir=""):
    average = types.SimpleNamespace(encoder=Encoder())
    return Subject(name, str(run_dir), None, types.SimpleNamespace(average=average, num_levels=2))


def splits(flipped=False):
    """Attribute "Bright", in the test split perhaps its reverse, and one of chance."""
    rng = np.random.default_rng(0)
    found = {}
    for name, count in (("validation", 240), ("test", 120)):
        bright = rng.random(count) > 0.5
        brightness = np.where(bright, 160, 20) + rng.integers(0, 70, count)
        images = np.tile(brightness[:, np.newaxis, np.newaxis, np.newaxis], (1, 8, 8, 1))
        bright = ~bright if flipped and name == "test" else bright
        labels = np.stack([bright, rng.random(count) > 0.5], axis=1).astype(np.uint8)
        found[name] = Split(images.astype(np.uint8), labels)
    return found


def context_of(tmp_path, found, *subjects, names=("Bright", "Any"), multi_label=True):
    source = Source("toy", (8, 8, 1), lambda name: found[name], names, multi_label)
    return Context(subjects, source, str(tmp_path))


def test_features_that_hold_an_attribute_tell_it_and_others_do_not(tmp_path):
    context = context_of(tmp_path, splits(), subject_of())
    assert Representation().unanswerable(context) is None
    answer = json.loads(json.dumps(Representation().answer(context)))
    rows = answer["rows"]
    assert set(rows) == {"HALI z_1", "HALI z_2", "HALI z_1, z_2", "HALI maps"}
    for label in ("HALI z_1", "HALI z_1, z_2", "HALI maps"):
        assert rows[label]["balanced"][0] > 95 and rows[label]["balanced"][1] < 65
        assert rows[label]["neighbours"]["value"] > 65
        low, high = rows[label]["intervals"]["balanced"][1]
        assert low < rows[label]["balanced"][1] < high and 10 < high - low < 30
    assert rows["HALI z_2"]["balanced"] == [50, 50] and rows["HALI z_2"]["size"] == 1
    assert set(rows["HALI z_1"]["curve"]) == {"100"}
    text = Representation().report(answer)
    first = text.split("\n\n")[0]
    assert "HALI z_2 50.0 [50.0, 50.0] %" in first and "chance 50 %" in first
    assert "| Bright |" in text
    assert "LMLE" not in text  # two attributes are not the paper's forty


def test_the_test_split_teaches_nothing_and_the_training_split_is_not_read(tmp_path):
    """With the test labels reversed all decisions are wrong: nothing was learned from them."""
    context = context_of(tmp_path, splits(flipped=True), subject_of())  # has no "train"
    found = Representation().answer(context)["rows"]["HALI z_1"]
    assert found["balanced"][0] < 5
    straight = Representation().answer(context_of(tmp_path, splits(), subject_of()))
    assert found["C"] == straight["rows"]["HALI z_1"]["C"]


class Blind:
    """The one latent of ALI is nothing: as many features as HALI's z_1 and z_2, halved."""

    def maps(self, x):
        return [([x], tf.zeros_like(x[:, :1, :1]))]


def test_baselines_are_compared_also_by_as_many_features(tmp_path):
    ali = subject_of("ALI")
    ali.model.num_levels, ali.model.average.encoder = 1, Blind()
    context = context_of(tmp_path, splits(), subject_of(), ali)
    answer = json.loads(json.dumps(Representation().answer(context)))
    assert answer["features"] == {
        "HALI": {"natural": "HALI z_1, z_2", "equal": "HALI z_1, z_2, 1 by PCA"},
        "ALI": {"natural": "ALI", "equal": "ALI"},
    }
    assert answer["rows"]["HALI z_1, z_2, 1 by PCA"]["size"] == answer["rows"]["ALI"]["size"] == 1
    found = Representation().findings(answer)
    assert found.keys() == {"ALI", "ALI equal"}
    for finding in found.values():  # one attribute of two is told, the other is chance
        assert finding.verdict == "holds" and 15 < finding.interval[0] < 30
    answer["labels"] = {"ALI": ["ALI"]}
    assert Representation().findings(answer) == {}


def test_the_supervised_reference_decides_on_the_same_images(tmp_path, monkeypatch):
    def decide(images):
        asked.append(len(images))
        return np.stack([images[:, 0, 0, 0] > 120, images[:, 0, 0, 0] > 300], axis=1)

    asked, reference = [], types.SimpleNamespace(names=("Bright", "Any"), decide=decide)
    (tmp_path / "supervised").mkdir()
    (tmp_path / "supervised" / "classifier.json").write_text("{}")
    monkeypatch.setattr(representation.folders, "load", lambda folder: reference)
    subjects = subject_of(run_dir=tmp_path), subject_of("VAE", tmp_path / "other")
    context = context_of(tmp_path, splits(), *subjects)
    answer = Representation().answer(dataclasses.replace(context, limit=100))
    assert asked == [100]
    assert answer["rows"]["HALI encoder, supervised"]["balanced"] == [100.0, 50.0]
    assert "HALI encoder, supervised" not in answer["summary"]
    assert "| HALI encoder, supervised | 75.0 [75.0, 75.0] |" in Representation().report(answer)
    # The same encoder twice: none is above the other.
    assert Representation().findings(answer)["VAE"].verdict == "undecided"


def test_a_damaged_reference_is_named_before_the_long_work(tmp_path, monkeypatch):
    (tmp_path / "supervised").mkdir()
    (tmp_path / "supervised" / "classifier.json").write_text("{}")
    monkeypatch.setattr(representation, "progress_bar", None)  # no SVM is begun
    with pytest.raises(UserError, match="weights.npz: damaged"):
        Representation().answer(context_of(tmp_path, splits(), subject_of(run_dir=tmp_path)))


def test_a_c_at_the_end_of_the_grid_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(representation.probes, "REGULARISATIONS", (1e-3,))
    monkeypatch.setattr(representation.probes, "_FIRST", 0)
    text = Representation().report(
        Representation().answer(context_of(tmp_path, splits(), subject_of()))
    )
    assert "C is at the end of what was tried, and another may be better: HALI z_1, " in text


def test_classes_are_one_column(tmp_path):
    found = {
        name: Split(split.images, (split.images[:, 0, 0, 0] // 100).astype(np.int64))
        for name, split in splits().items()
    }
    context = context_of(tmp_path, found, subject_of(), names=None, multi_label=False)
    answer = Representation().answer(context)
    assert answer["attributes"] is None and len(answer["rows"]["HALI z_1"]["balanced"]) == 1
    assert "| Bright |" not in Representation().report(answer)


def test_no_labels(tmp_path):
    found = {name: Split(split.images) for name, split in splits().items()}
    assert "no labels" in Representation().unanswerable(context_of(tmp_path, found, subject_of()))


def test_one_validation_image(tmp_path):
    found = splits()
    found["validation"] = Split(found["validation"].images[:1], found["validation"].labels[:1])
    assert "one validation image" in Representation().unanswerable(
        context_of(tmp_path, found, subject_of())
    )


def test_pool_averages_over_a_grid():
    maps = np.arange(32, dtype=np.float32).reshape(1, 4, 8, 1)
    expected = maps.reshape(2, 2, 2, 4).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(encoder_features.pool(maps, 2)[0], expected)
    assert encoder_features.pool(np.ones([1, 7, 7, 2], np.float32), 4).shape == (1, 32)


def test_the_encoders_maps_are_what_it_computes():
    keras.utils.set_random_seed(0)
    model = HALI(toy().adapt(1))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    levels = model.average.encoder.maps(tf.cast(images, tf.float32) / 127.5 - 1)
    assert [len(maps) for maps, _ in levels] == [3, 1]
    for (_, mean), q in zip(levels, model.encode(images)):
        np.testing.assert_allclose(tf.reshape(mean, q.mean.shape), q.mean, atol=1e-6)


@pytest.mark.slow
def test_real_faces_before_any_training(shared_data, tmp_path):
    """Random features of a quarter of the held-out faces tell sex and hat far above chance."""
    from hali_tf.config import Config
    from hali_tf.runs.reopening import make_model, open_data

    config = Config.of(
        data="celeba",
        data_dir=str(shared_data / "celeba_64"),
        width=0.25,
        channels=3,
        run_dir=str(tmp_path),
        jit_compile="false",
        precision="float32",
    ).validate()
    subject = Subject("HALI", str(tmp_path), config, make_model(config))
    context = Context((subject,), open_data(config), str(tmp_path), limit=1000)
    answer = Representation().answer(context)
    best = np.max([row["balanced"] for row in answer["rows"].values()], axis=0)
    names = answer["attributes"]
    assert best[names.index("Male")] > 70 and best[names.index("Wearing_Hat")] > 70
    assert "*LMLE-kNN*" in Representation().report(answer)
