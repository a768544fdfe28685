"""A semi-supervised HALI from the training command to evaluation and export."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from hali_tf import evaluate, export
from hali_tf.data import Split
from hali_tf.data.spreading import spread_labels
from hali_tf.errors import UserError
from hali_tf.evaluation.registry import QUESTIONS
from hali_tf.measures.labels import confusion
from hali_tf.models.coder import Coder
from hali_tf.runs.metrics_file import read
from hali_tf.runs.reopening import load_run, open_data, require_decoder
from hali_tf.training.spread import spread
from tests.training_command import assert_same_weights, train

FLAGS = (
    "--labels_per_class=5",
    "--label_shift=1",
    "--label_warp=0.1",
    "--consistency=1",
    "--label_spreading=pixels",
    "--batch_size=16",
    "--log_every=10",
)
HALI = (*FLAGS, "--cycle_labels=1", "--steps=40", "--checkpoint_every=20")
ALONE = (*FLAGS, "--encoder_only", "--steps=60", "--checkpoint_every=60")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 40 steps on digits: its folder and what the command printed."""
    folder = tmp_path_factory.mktemp("labels") / "run"
    code, out, err = train(folder, *HALI)
    assert code == 0, err
    return folder, out


@pytest.fixture(scope="module")
def version(run, tmp_path_factory):
    """Signatures of its export."""
    path = export.export(str(run[0]), str(tmp_path_factory.mktemp("export")))
    return tf.saved_model.load(path).signatures


def test_labelled_images_are_listed_five_a_class(run):
    positions = json.loads((run[0] / "labelled.json").read_text())
    config, _ = load_run(str(run[0]))
    assert config.labels.classes == 10
    train_labels = open_data(config).load("train").labels
    assert len(set(positions)) == 50
    assert np.bincount(train_labels[positions]).tolist() == [5] * 10


def test_losses_and_errors_are_logged(run):
    lines = read(run[0] / "metrics.jsonl")
    logged = [line for line in lines if "label_loss" in line]
    assert [line["step"] for line in logged] == [10, 20, 30, 40]
    assert logged[-1]["label_loss"] < logged[0]["label_loss"]
    assert all(line["cycle_labels_loss"] > 0 for line in logged)
    counted = [line for line in lines if "label_errors" in line]
    assert [(line["step"], line["label_images"]) for line in counted] == [(20, 247), (40, 247)]


def test_errors_are_those_of_the_averaged_encoder_on_test_images(run):
    folder, out = run
    config, model = load_run(str(folder))
    test = open_data(config).load("test")
    scores = model.encode(test.images)[-1].probabilities.numpy()
    errors = int((scores.argmax(axis=1) != test.labels).sum())
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["label_errors"], summary["label_images"]) == (errors, 250)
    assert errors < 200  # chance misses 225
    assert f"{errors} errors of 250" in out


def test_resumed_run_ends_with_the_same_bits(run, tmp_path):
    folder = tmp_path / "resumed"
    shutil.copytree(run[0], folder)
    for path in folder.glob("checkpoints/ckpt-40*"):
        path.unlink()
    code, _, err = train(folder, *HALI)
    assert code == 0, err
    assert_same_weights(run[0], folder)


def test_classify_of_the_export_equals_the_evaluation(run, version):
    config, model = load_run(str(run[0]))
    test = open_data(config).load("test")
    answer = version["classify"](images=tf.constant(test.images))
    scores = answer["scores"].numpy()
    assert [name.decode() for name in answer["classes"][0].numpy()] == list("0123456789")
    np.testing.assert_allclose(scores, model.encode(test.images)[-1].probabilities, atol=1e-5)
    counts = confusion(Coder(model), 10, test)
    taken = np.bincount(scores.argmax(axis=1), minlength=10)
    np.testing.assert_array_equal(taken, counts.sum(axis=0))


def test_the_other_signatures_know_the_label(run, version):
    _, model = load_run(str(run[0]))
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    q = model.encode(images)[-1]
    codes = version["encode"](images=tf.constant(images))
    np.testing.assert_allclose(codes["z_2"], q.mean, atol=1e-5)
    np.testing.assert_allclose(codes["y"], q.probabilities, atol=1e-5)
    np.testing.assert_allclose(codes["y"], codes["z_2"][:, -10:])
    as_seven = tf.concat([codes["z_2"][:, :-10], tf.one_hot([7, 7, 7], 10)], axis=1)
    seeds = tf.constant([1, 2, 3], tf.int64)
    for answer, expected in (
        (version["decode"](z_2=as_seven)["images"], model.decode(as_seven)),
        (version["sample"](seeds=seeds)["images"], model.sample(seeds)),
    ):
        assert np.abs(np.int32(answer) - np.int32(expected)).max() <= 1


def test_encoder_alone_learns_from_the_same_labels(run, tmp_path):
    code, out, err = train(tmp_path, *ALONE)
    assert code == 0, err
    listed = [(folder / "labelled.json").read_text() for folder in (run[0], tmp_path)]
    assert listed[0] == listed[1]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["label_errors"] < 150
    assert not (tmp_path / "checkpoints" / "best").exists()  # its decoder has learned nothing
    assert "errors of" in out and "reconstruction" not in out
    config, _ = load_run(str(tmp_path))
    with pytest.raises(UserError, match="--encoder_only, so that its decoder has learned nothing"):
        require_decoder(config)
    context = evaluate.open_context(str(tmp_path))
    left_out = {name for name, question in QUESTIONS.items() if question.left_out(context)}
    assert left_out == set(QUESTIONS) - {"labels", "representation"}
    assert "trained its encoder alone" in QUESTIONS["samples"].left_out(context)
    exported = export.export(str(tmp_path), str(tmp_path / "export"))
    served = tf.saved_model.load(exported).signatures
    assert set(served) == {"encode", "serving_default", "classify", "classify_examples"}


def test_labels_spread_by_what_the_encoder_of_a_run_computes(run):
    config, model = load_run(str(run[0]))
    train_split = open_data(config).load("train")
    labelled = np.array(json.loads((run[0] / "labelled.json").read_text()))
    config = config.replace(label_spreading=str(run[0]))
    maps = model.average.encoder.maps(train_split.images / np.float32(127.5) - 1)[-1][0][-1].numpy()
    expected = spread_labels(maps, labelled, train_split.labels[labelled], 10)
    actual = spread(config, train_split, labelled)
    assert (actual == expected).mean() > 0.99  # but for rounding
    by_pixels = spread(config.replace(label_spreading="pixels"), train_split, labelled)
    assert (actual != by_pixels).mean() > 0.05
    others = Split(np.zeros([len(maps), 8, 8, 1], np.uint8), train_split.labels)
    with pytest.raises(UserError, match="takes images of .16, 16, 1.; the data has .8, 8, 1."):
        spread(config, others, labelled)


def test_run_learns_with_labels_that_spread_by_another_of_the_same_labels(run, tmp_path):
    flags = (*ALONE, "--steps=10", f"--label_spreading={run[0]}")
    code, _, err = train(tmp_path / "same", *flags)
    assert code == 0, err
    code, _, err = train(tmp_path / "other", *flags, "--seed=1")
    assert code == 1
    assert f"--label_spreading={run[0]}: learned from other labelled images" in err.splitlines()[-1]
    assert not any((tmp_path / "other").glob("*.json"))


def test_set_without_classes_is_refused_in_one_line(tmp_path):
    np.savez(tmp_path / "data.npz", x_train=np.zeros([40, 16, 16, 1], np.uint8))
    code, out, err = train(
        tmp_path / "run",
        "--labels_per_class=1",
        "--data=npz",
        f"--data_dir={tmp_path}/data.npz",
        "--image_size=16",
    )
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1 and "has no labels" in err


@pytest.mark.slow
def test_test_images_without_labels_are_not_counted(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 16, 16, 1)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", x_train=images, y_train=np.arange(60) % 3, x_test=images[:9])
    data = ("--data=npz", f"--data_dir={tmp_path / 'x.npz'}", "--image_size=16")
    code, out, err = train(tmp_path / "run", *FLAGS, *data, "--steps=2")
    assert code == 0, err
    assert "errors of" not in out
    assert "label_errors" not in (tmp_path / "run" / "summary.json").read_text()
