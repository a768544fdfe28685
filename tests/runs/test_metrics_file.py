"""metrics.jsonl over kills and restarts."""

import json

import numpy as np
import pytest

from hali_tf.runs.metrics_file import MetricsFile, mean_error, read


@pytest.mark.parametrize("folder", ["", "ram://metrics"])
def test_lines_that_a_kill_undid_are_dropped(tmp_path, folder):
    path = f"{folder or tmp_path}/metrics.jsonl"
    file = MetricsFile(path, 0)
    for step in (1, 2, 3):
        file.append({"step": step, "d_loss": step / 2})
    again = MetricsFile(path, 2)
    again.append({"step": 3, "d_loss": 9.0})
    assert read(path) == [
        {"step": 1, "d_loss": 0.5},
        {"step": 2, "d_loss": 1.0},
        {"step": 3, "d_loss": 9.0},
    ]


def test_half_a_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + "\n" + '{"step": 2, "d_lo')
    assert read(path) == [{"step": 1}]
    path.write_bytes(path.read_bytes().partition(b'{"step": 2')[0] + b"\xff\x00\n")
    MetricsFile(path, 5).append({"step": 3})
    assert read(path) == [{"step": 1}, {"step": 3}]


def test_best_error_is_that_of_the_lines_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, 0)
    assert file.best_error == np.inf
    file.append({"step": 1, "rmse_1": 0.4, "rmse_2": 0.6, "random_pairs": 9.0})
    file.append({"step": 2, "d_loss": 0.1})
    file.append({"step": 3, "rmse_1": 0.1, "rmse_2": 0.2})
    assert MetricsFile(path, 2).best_error == 0.5


def test_mean_error_is_over_the_levels_alone():
    assert mean_error(
        {"rmse_1": 0.2, "rmse_2": 0.4, "ratio_1": 7.0, "random_pairs": 5.0}
    ) == np.mean([0.2, 0.4])
