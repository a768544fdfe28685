"""The system's clock is put forwards and back while a run trains."""

import itertools
import re
import time

import pytest

from hali_tf.runs.lock import locked
from hali_tf.runs.metrics_file import read
from hali_tf.runs.reopening import open_data
from hali_tf.training import devices
from hali_tf.training.fit import fit
from tests.training.tiny import config_of
from tests.training_command import assert_same_weights


@pytest.fixture
def put_clock(monkeypatch):
    """A function; once it is called, the clock jumps by hours each time that it is read."""
    hours, real = itertools.cycle([0, 1, 3, -1, -5]), time.time
    jumping = lambda: real() + 3600 * next(hours)  # noqa: E731

    def put():
        monkeypatch.setattr("time.time", jumping)
        monkeypatch.setattr("tqdm.std.time", jumping)

    return put


def test_clock_that_jumps_changes_nothing(tmp_path, put_clock, capsys):
    """A VAE, which starts soonest."""
    flags = {"model": "vae", "checkpoint_every": 2, "log_every": 1}
    strategy = devices.make_strategy(1)

    def trained(name, steps):
        config = config_of(tmp_path / name, steps=steps, **flags)
        with locked(config.run_dir):
            fit(config, open_data(config), strategy)

    trained("steady", 4)
    put_clock()
    assert abs(time.time() - time.time()) > 3000
    trained("jumps", 2)
    trained("jumps", 4)
    assert_same_weights(tmp_path / "steady", tmp_path / "jumps")
    logs = [read(tmp_path / name / "metrics.jsonl") for name in ("steady", "jumps")]
    assert all(line.pop("images_per_second", 1) > 0 for line in logs[0] + logs[1])
    assert logs[0] == logs[1]
    bars = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train:")]
    assert not any(re.search(r"\[-|\d:\d\d:\d\d", line) for line in bars)  # hours, or below zero
