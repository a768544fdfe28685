"""Stopping: signals and broken numbers, without training a model."""

import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.errors import UserError
from hali_tf.training.callbacks import Every, Interrupted, Profile, Save, StopOnNonFinite
from tests.training.tiny import ALONE


class Saved(list):
    """Stands in for `Checkpoints`: remembers that it was told to save."""

    def save(self, which="last"):
        self.append(which)


def test_every_is_due_each_so_often_and_at_the_last():
    due = Every(4, 10)
    assert [step for step in range(1, 11) if due(step)] == [4, 8, 10]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_number_is_named_with_its_step(value):
    stop = StopOnNonFinite("take a lower rate")
    stop.at(6, {"d_loss": 1.0, "g_gradient": 2.0})
    with pytest.raises(UserError, match="g_gradient is .* at step 7") as error:
        stop.at(7, {"d_loss": 1.0, "g_gradient": value})
    assert str(error.value).endswith("at step 7; take a lower rate")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_lets_the_step_finish_and_saves(number, code):
    before, saved = signal.getsignal(number), Saved()
    with pytest.raises(Interrupted) as stop, Save(Every(100, 100), saved, ALONE) as save:
        save.at(1, {})
        assert saved == []
        os.kill(os.getpid(), number)
        assert saved == []  # nothing in the middle of a step
        save.at(2, {})
    assert saved == ["last"]
    assert stop.value.exit_code == code
    assert "step 2" in str(stop.value)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    "first_step, last_step, profiled",
    [
        (0, 9, [("start", 3), ("stop", 5)]),
        (3, 9, [("start", 4), ("stop", 5)]),  # resumes inside the window
        (4, 9, [("start", 5), ("stop", 5)]),
        (5, 9, []),
        (0, 4, [("start", 3), ("stop", "end")]),  # training ends inside the window
    ],
)
def test_profile_is_of_the_steps_that_a_start_has(monkeypatch, first_step, last_step, profiled):
    now, calls = None, []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda _: calls.append(("start", now)))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: calls.append(("stop", now)))
    with Profile(3, 5, "logs") as profile:
        profile.first_step = first_step
        for batch in range(last_step - first_step):
            now = first_step + 1 + batch
            profile.on_train_batch_begin(batch)
            profile.on_train_batch_end(batch)
        now = "end"
    assert calls == profiled
