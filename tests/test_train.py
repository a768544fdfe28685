"""The training command, from flags to the run folder, stops and restarts included."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hali_tf import train as training_command
from hali_tf.config import Config
from hali_tf.errors import UserError
from hali_tf.evaluation import training_film
from hali_tf.runs import logged_images
from hali_tf.runs.metrics_file import read
from hali_tf.runs.reopening import load_run
from hali_tf.runs.run_folder import check_folder
from tests.training_command import assert_same_weights, train, weights

FLAGS = ("--steps=4", "--log_every=3")  # the checkpoint of step 2 is within the first line's window


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 4 steps, never stopped: its folder and what the command printed."""
    folder = tmp_path_factory.mktemp("train") / "run"
    code, out, err = train(folder, *FLAGS)
    assert code == 0, err
    return folder, out


@pytest.fixture(scope="module")
def resumed(run, tmp_path_factory):
    """The same run as a kill after the checkpoint of step 2 leaves it, started again."""
    folder = tmp_path_factory.mktemp("train") / "resumed"
    shutil.copytree(run[0], folder)
    for path in folder.glob("checkpoints/ckpt-4*"):
        path.unlink()
    code, _, err = train(folder, *FLAGS)
    assert code == 0, err
    return folder


def test_run_folder_is_complete(run):
    folder, _ = run
    config = Config.from_file(folder / "config.json")
    assert (config.optimisation.steps, config.model.architecture, config.data.channels) == (
        4,
        "hali16",
        1,
    )
    assert (config.optimisation.precision, config.optimisation.jit_compile) == ("float32", "false")
    (began,) = json.loads((folder / "run.json").read_text())
    assert began["command"].startswith("python -m hali_tf.train --data=digits")
    assert began["packages"]["tensorflow"].startswith("2.")
    assert {"git_commit", "time", "machine", "python"} <= began.keys()
    kept = {path.name for path in (folder / "checkpoints").glob("*.index")}
    assert kept == {"ckpt-0.index", "ckpt-2.index", "ckpt-4.index"}
    assert list((folder / "checkpoints" / "best").glob("*.index"))
    for name in ("reconstructions.png", "samples.png"):
        with Image.open(folder / "figures" / name) as picture:
            assert min(picture.size) > 100
    assert not list(folder.rglob("*.tmp"))


def test_samples_of_every_evaluation_make_a_film(run):
    folder, _ = run
    evaluated = [line["step"] for line in read(folder / "metrics.jsonl") if "rmse_1" in line]
    pictures = logged_images.read(folder, "samples")
    assert [*pictures] == evaluated
    with Image.open(folder / "figures" / "samples.png") as last:
        shown = last.resize(pictures[4].size, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(shown, pictures[4])
    frames = training_film.draw(folder)
    assert len({frame.tobytes() for frame in frames}) == len(evaluated)
    assert len({frame.size for frame in frames}) == 1


def test_metrics_have_lines_of_steps_and_of_evaluations(run):
    folder, _ = run
    lines = read(folder / "metrics.jsonl")
    logged = [line for line in lines if "d_loss" in line]
    assert [line["step"] for line in logged] == [3]
    names = {
        "d_loss",
        "g_loss",
        "accuracy_q",
        "accuracy_p",
        "d_gradient",
        "g_gradient",
        "sigma_1",
        "sigma_2",
        "learning_rate",
    }
    assert all(names <= line.keys() for line in logged)
    assert logged[-1]["learning_rate"] == pytest.approx(1e-3)
    assert logged[-1]["images_per_second"] > 0
    evaluations = [line for line in lines if "rmse_1" in line]
    assert [line["step"] for line in evaluations] == [2, 4]
    names = {"rmse_2", "ratio_2", "feature_distance_2", "perceptual_2", "perceptual_pairs"}
    assert all(names <= line.keys() for line in evaluations)


def test_summary_says_what_the_command_printed(run):
    folder, out = run
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["step"] == 4
    assert 0 < summary["rmse_1"] < 1 and 0 < summary["rmse_2"] < 1
    assert summary["ratio_1"] == pytest.approx(summary["rmse_1"] / summary["random_pairs"])
    assert f"{summary['rmse_1']:.4f}" in out
    assert str(folder) in out


def test_projector_files_fit_together(run):
    logs = run[0] / "logs"
    rows = [line.split("\t") for line in (logs / "latents.tsv").read_text().splitlines()]
    assert len(rows) == 247 and len({len(row) for row in rows}) == 1
    assert np.isfinite(np.array(rows, float)).all()
    labels = (logs / "labels.tsv").read_text().splitlines()
    assert len(labels) == 247 and set(labels) == set("0123456789")
    with Image.open(logs / "sprite.png") as sprite:
        assert sprite.size == (16 * 16, 16 * 16)  # 16 rows and columns of 16x16 hold 247
    assert "single_image_dim: 16" in (logs / "projector_config.pbtxt").read_text()


def test_tensorboard_has_scalars_and_images(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run[0] / "logs"), size_guidance={"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {
        "game/d_loss",
        "game/g_loss",
        "game/learning_rate",
        "latents/sigma_2",
        "speed/images_per_second",
        "errors/rmse_1",
        "errors/feature_distance_pairs",
        "errors/perceptual_2",
        "errors/test_rmse_2",
        "reconstructions",
        "samples",
    } <= tags
    assert [event.step for event in events.Tensors("game/d_loss")] == [3]
    assert [event.step for event in events.Tensors("samples")] == [2, 4]


def test_hparams_open_on_what_one_compares(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    events = EventAccumulator(str(run[0] / "logs")).Reload()
    found = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    experiment = metadata.parse_experiment_plugin_data(found)
    assert [h.name for h in experiment.hparam_infos][:2] == ["learning_rate", "width"]
    tags = [m.name.tag for m in experiment.metric_infos]
    assert tags[:2] == ["errors/test_rmse_1", "errors/test_rmse_2"]
    found = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert metadata.parse_session_start_info_plugin_data(found).group_name == "run"


def test_run_comes_back_for_use(run):
    config, model = load_run(str(run[0]))
    assert int(model.step) == 4
    images = np.zeros((2, 16, 16, 1), np.uint8)
    assert model.reconstruct(images, 2).shape == images.shape
    assert config.run_dir == str(run[0])


def test_resumed_run_ends_with_the_same_bits(run, resumed):
    assert_same_weights(run[0], resumed)
    assert len(json.loads((resumed / "run.json").read_text())) == 2


def test_resumed_run_logs_what_one_that_was_never_stopped_does(run, resumed):
    one, other = (read(folder / "metrics.jsonl") for folder in (run[0], resumed))
    assert [line["step"] for line in one] == [2, 3, 4]
    for line in (*one, *other):
        line.pop("images_per_second", None)
    assert one == other


@pytest.mark.slow
def test_run_that_is_done_says_so_and_changes_nothing(resumed):
    before = weights(resumed)
    code, out, err = train(resumed, "--steps=4")
    assert code == 0, err
    assert "step 4" in out
    after = weights(resumed)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_folder_of_another_configuration_is_refused(run):
    code, out, err = train(run[0], "--steps=4", "--seed=5", "--noise=0.3")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "--seed: 5 here, 0 there" in err and "--noise: 0.3 here, 0.2 there" in err


def test_training_begun_with_another_keras_is_refused(run, tmp_path):
    """Its moments could not be restored; weights can, for use."""
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    path = folder / "run.json"
    starts = json.loads(path.read_text())
    starts[0]["packages"]["keras"] = "1.2.3"
    path.write_text(json.dumps(starts))
    code, out, err = train(folder, "--steps=4")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1 and "begun with Keras 1.2.3 on Python 3." in err
    assert int(load_run(str(folder))[1].step) == 4


def test_auto_is_what_it_was_there(run):
    config = Config.of(
        run_dir=str(run[0]), data="digits", width=0.01, batch_size=4, channels=1, learning_rate=1e-3
    ).validate()
    assert (config.optimisation.precision, config.optimisation.jit_compile) == ("auto", "auto")
    config = check_folder(config)
    assert (config.optimisation.precision, config.optimisation.jit_compile) == ("float32", "false")


@pytest.mark.parametrize(
    ("folder", "flag", "words"),
    [
        ("run", "--optimizer=Foo", "no optimiser 'Foo'"),
        ("run", "--init_from=nowhere", "--init_from: nowhere/config.json: not found"),
        (
            "run",
            "--labels_per_class=2 --consistency=1 --label_spreading=none",
            "--label_spreading: none/config.json: not found",
        ),
        ("run[1]", "--steps=1", "run[1]: TensorFlow cannot read checkpoints"),
    ],
)
def test_refused_by_dry_run_and_before_the_data_is_read(tmp_path, folder, flag, words):
    for flags in (["--dry_run"], ["--data=npz", "--data_dir=none.npz", "--image_size=16"]):
        code, _, err = train(tmp_path / folder, *flag.split(), *flags)
        assert code in (1, 2) and words in err.splitlines()[-1]
        assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "model, architecture, last",
    [
        ("hali", "hali16", ["encoder", "decoder", "discriminator"]),
        ("vae", "ali16", ["encoder", "decoder"]),
    ],
)
def test_dry_run_prints_and_writes_nothing(tmp_path, model, architecture, last):
    folder = tmp_path / "run"
    code, out, err = train(folder, "--dry_run", f"--model={model}")
    assert code == 0, err
    assert f'"architecture": "{architecture}"' in out
    assert ("encoder level 2" in out) == (model == "hali")
    (totals,) = (line for line in out.splitlines() if line.startswith("parameters: "))
    assert [part.split()[0] for part in totals.removeprefix("parameters: ").split(", ")] == last
    assert "memory of a train step at batch 4: about " in out
    assert not folder.exists()


def test_a_batch_that_does_not_fit_is_refused_before_the_folder_is_made(tmp_path):
    """It could not be made here, which would be another error."""
    (tmp_path / "file").write_text("in the way")
    flags = ("--batch_size=99999999", "--width=1")
    code, out, err = train(tmp_path / "file" / "run", *flags)
    assert (code, out) == (2, ""), err
    (line,) = err.splitlines()
    assert line.startswith("hali_tf: --batch_size=99999999 with --width=1: a step needs at least ")
    assert " GiB of memory, and at most " in line


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = train(tmp_path / "file" / "run", "--steps=1")
    assert code == 1
    assert len(err.splitlines()) == 1 and "--run_dir=" in err


@pytest.mark.parametrize(
    "message, expected",
    [
        (
            "logs/events: No space left on device\n\tFailed to flush 11 events",
            "^--run_dir=x: .*No space left on device.; make room",
        ),
        (
            "Failed to flush 11 events\n\tlogs/events: No space left on device",
            "^--run_dir=x: cannot be written .Failed to flush 11 events.; make room",
        ),
        (
            "logs/events: File too large",
            "^--run_dir=x: cannot be written .logs/events: File too large.; make room",
        ),
        (
            "logs/events: Disk quota exceeded",
            "^--run_dir=x: cannot be written .logs/events: Disk quota exceeded.; make room",
        ),
        (
            "OOM when allocating tensor\nhints",
            "^--batch_size=64: the device has too little memory .OOM when allocating tensor.;",
        ),
    ],
)
def test_full_disk_under_tensorboards_files_is_told_from_a_full_device(
    monkeypatch, message, expected
):
    def fit(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr("hali_tf.training.fit.fit", fit)
    with pytest.raises(UserError, match=expected):
        training_command.train(Config.of(run_dir="x"), None, None)


@pytest.mark.parametrize("kind", [tf.errors.AbortedError, tf.errors.UnavailableError])
def test_a_store_that_fails_is_no_lost_worker(monkeypatch, kind):
    def fit(*arguments):
        raise kind(None, None, "All 10 retry attempts failed")

    monkeypatch.setattr("hali_tf.training.fit.fit", fit)
    with pytest.raises(UserError, match="^--run_dir=gs://b/x: cannot be written .All 10 retry"):
        training_command.train(Config.of(run_dir="gs://b/x"), None, tf.distribute.get_strategy())


def test_missing_run_and_missing_checkpoint(tmp_path):
    with pytest.raises(UserError, match="config.json: not found"):
        load_run(str(tmp_path / "none"))
    (tmp_path / "config.json").write_text(Config.of(run_dir="x", channels=1).validate().to_json())
    with pytest.raises(UserError, match="no checkpoint; train the run first"):
        load_run(str(tmp_path))
