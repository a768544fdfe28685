"""What is logged."""

import itertools
import types

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.data import Split
from hali_tf.drawing.strips import Strips, draw_strips
from hali_tf.runs import logged_images
from hali_tf.runs.checkpoints import Checkpoints
from hali_tf.runs.metrics_file import MetricsFile, read
from hali_tf.training import log
from hali_tf.training.window import Window
from tests.evaluation.models import Shifts


class Model(tf.Module):
    """As much of a model as logging looks at; its penalty is measured every second step."""

    logged = ("d_loss", "d_gradient", "penalty")
    optimizer = types.SimpleNamespace(learning_rate=0.5, iterations=None)

    def __init__(self):
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64)

    def measured(self, step):
        return {"d_loss", "d_gradient" if step % 2 else "penalty"}


def train(folder, first, last):
    """Logs the steps after `first` and saves the last, where the other start may go on."""
    folder.mkdir(exist_ok=True)
    model = Model()
    window = Window(model.logged)
    checkpoints = Checkpoints(str(folder), model, {"window": window.variable})
    assert (checkpoints.restore() or 0) == first
    file = MetricsFile(folder / "metrics.jsonl", first)
    callback = log.Log(4, 2, window, tf.summary.create_noop_writer(), file)
    callback.set_model(model)
    callback.first_step = first
    for batch, step in enumerate(range(first + 1, last + 1)):
        callback.on_train_batch_begin(batch)
        logs = {"d_loss": step, "d_gradient": 10 * step, "penalty": 100 * step}
        callback.on_train_batch_end(batch, logs)
    model.step.assign(last)
    checkpoints.save()
    lines = read(folder / "metrics.jsonl")
    for line in lines:
        line.pop("images_per_second", None)
    return lines


def test_a_line_has_the_means_of_the_steps_that_measured_a_value(tmp_path):
    assert train(tmp_path, 0, 9) == [
        {"step": 4, "d_loss": 2.5, "d_gradient": 20.0, "penalty": 300.0, "learning_rate": 0.5},
        {"step": 8, "d_loss": 6.5, "d_gradient": 60.0, "penalty": 700.0, "learning_rate": 0.5},
    ]


def test_stops_leave_the_lines_as_they_are(tmp_path):
    for first, last in ((0, 3), (3, 6), (6, 9)):
        lines = train(tmp_path / "stopped", first, last)
    assert lines == train(tmp_path / "whole", 0, 9)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("d_loss", "game/d_loss"),
        ("penalty", "game/penalty"),
        ("sigma_2", "latents/sigma_2"),
        ("sigma_x", "game/sigma_x"),
        ("images_per_second", "speed/images_per_second"),
    ],
)
def test_scalars_are_grouped(name, expected):
    assert log.tag(name) == expected


def test_the_rate_leaves_out_the_step_that_compiles(tmp_path, monkeypatch):
    """It takes 9 seconds, and each of the other three half a second for two images."""
    ticks = itertools.accumulate([0, 9, 0.5, 0, 0.5, 0, 0.5])
    monkeypatch.setattr(log, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    train(tmp_path, 0, 4)
    (line,) = read(tmp_path / "metrics.jsonl")
    assert line["images_per_second"] == 4


class Drawn(Shifts):
    """Two levels, which make originals lighter by 50 and by 100."""

    image_shape = (4, 4, 1)

    def reconstruct(self, images, level):
        return images + tf.cast(50 * level, tf.uint8)


@pytest.mark.parametrize("count, columns, rows", [(20, 8, 2), (13, 8, 1), (3, 3, 1)])
def test_rows_of_reconstructions_say_what_they_are(tmp_path, count, columns, rows):
    """Eight originals, below them what each level makes of them, and the next eight."""
    split = Split(np.random.default_rng(0).integers(0, 100, (count, 4, 4, 1), np.uint8))
    originals = split.part(count).images
    (tmp_path / "figures").mkdir()
    writer = tf.summary.create_file_writer(str(tmp_path / "logs"))
    arguments = (None, split, tmp_path / "figures", writer)
    file = MetricsFile(tmp_path / "metrics.jsonl", 0)
    callback = log.Evaluate(*arguments, file, None, None, None)
    callback.set_model(Drawn(samples=np.zeros([64, 4, 4, 1], np.uint8)))
    with writer.as_default(2):
        callback._draw()
    writer.close()
    shown = [
        originals[row * columns : (row + 1) * columns] + np.uint8(50 * level)
        for row in range(rows)
        for level in range(3)
    ]
    labels = ["original", "level 1", "level 2"] * rows
    expected = draw_strips(Strips(np.stack(shown), [""] * columns, labels))
    picture = logged_images.read(str(tmp_path), "reconstructions")[2]
    np.testing.assert_array_equal(picture.convert("RGB"), expected)
