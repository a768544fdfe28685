"""A VAE from the training command to the export."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from hali_tf import export
from hali_tf.errors import UserError
from hali_tf.runs.metrics_file import read
from hali_tf.runs.reopening import load_run
from tests.training_command import assert_same_weights, train

FLAGS = (
    "--model=vae",
    "--width=0.5",
    "--batch_size=16",
    "--steps=120",
    "--checkpoint_every=60",
    "--log_every=20",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 120 steps on digits."""
    folder = tmp_path_factory.mktemp("vae") / "run"
    code, _, err = train(folder, *FLAGS)
    assert code == 0, err
    return folder


def test_it_learns(run):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["ratio_1"] < 0.8
    logged = [line for line in read(run / "metrics.jsonl") if "elbo" in line]
    assert [line["step"] for line in logged] == [20, 40, 60, 80, 100, 120]
    first, last = logged[0], logged[-1]
    assert last["elbo"] > first["elbo"] and last["sigma_x"] < first["sigma_x"]
    assert last["kl"] > 1  # the posterior tells images apart
    for line in logged:
        assert line["elbo"] == pytest.approx(line["log_likelihood"] - line["kl"], abs=0.01)
        assert line["gradient"] > 0 and 0 < line["sigma_1"] < 1


def test_resumed_run_ends_with_the_same_bits(run, tmp_path):
    folder = tmp_path / "resumed"
    shutil.copytree(run, folder)
    for path in folder.glob("checkpoints/ckpt-120*"):
        path.unlink()
    code, _, err = train(folder, *FLAGS)
    assert code == 0, err
    assert_same_weights(run, folder)


def test_checkpoint_of_an_ali_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "ali")
    config = json.loads((run / "config.json").read_text())
    (tmp_path / "ali" / "config.json").write_text(json.dumps({**config, "model": "ali"}))
    with pytest.raises(UserError, match="of another model"):
        load_run(str(tmp_path / "ali"))


def test_export_answers_as_the_model(run, tmp_path):
    _, model = load_run(str(run))
    served = tf.saved_model.load(export.export(str(run), str(tmp_path))).signatures
    assert set(served) == {
        "serving_default",
        "encode",
        "decode",
        "reconstruct",
        "sample",
        "classify",
        "classify_examples",
    }
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    (q,), seeds = model.encode(images), tf.constant([1, 2, 3], tf.int64)
    codes = served["encode"](images=tf.constant(images))
    np.testing.assert_allclose(codes["z_1"], q.mean, atol=1e-5)
    np.testing.assert_allclose(codes["z_1_stddev"], q.stddev, atol=1e-5)
    for answer, expected in (
        (served["decode"](z_1=q.mean)["images"], model.decode(q.mean)),
        (
            served["reconstruct"](images=tf.constant(images))["reconstruction_1"],
            model.reconstruct(images, 1),
        ),
        (served["sample"](seeds=seeds)["images"], model.sample(seeds)),
    ):
        assert np.abs(np.int32(answer) - np.int32(expected)).max() <= 1
    scores = served["classify"](images=tf.constant(images))["scores"]
    np.testing.assert_allclose(np.sum(scores, axis=1), 1, rtol=1e-5)
