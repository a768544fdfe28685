"""Training that is stopped, killed, or meets a full disk or a value that is not finite."""

import os
import random
import re
import signal
import time

import numpy as np
import pytest

from hali_tf.runs import logged_images
from hali_tf.runs.metrics_file import read
from hali_tf.runs.reopening import load_run
from tests.training_command import assert_same_weights, start, train


def wait_for_step(process, folder, step):
    """Returns once metrics.jsonl has a line of `step`."""
    deadline = time.monotonic() + 300
    while not any(line.get("step", 0) >= step for line in read(folder / "metrics.jsonl")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_and_exits_with_its_code(tmp_path, number, code):
    process = start(tmp_path, "--steps=100000", "--checkpoint_every=100000")
    wait_for_step(process, tmp_path, 3)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    saved = read(tmp_path / "metrics.jsonl")[-1]["step"]
    assert f"step {saved}" in last and "resumes" in last
    assert (tmp_path / "checkpoints" / f"ckpt-{saved}.index").exists()
    code, out, err = train(tmp_path, f"--steps={saved + 2}", "--checkpoint_every=2")
    assert code == 0, err
    assert f"step {saved + 2}" in out


@pytest.mark.slow
@pytest.mark.parametrize("signal_at", [0.2, 3.0, 8.0])
def test_signal_before_the_first_step_is_no_traceback(tmp_path, signal_at):
    process = start(tmp_path, "--steps=100000")
    time.sleep(signal_at)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGINT)
    assert "tensorflow" not in err


@pytest.mark.slow
def test_non_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    code, _, err = train(tmp_path / "wild", "--steps=50", "--learning_rate=1e30")
    assert code == 1
    last = err.splitlines()[-1]
    assert "at step" in last and ("nan" in last or "inf" in last)
    kept = list((tmp_path / "wild" / "checkpoints").glob("*.index"))
    assert kept
    for path in kept:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(path)[: -len(".index")])
        for name in reader.get_variable_to_shape_map():
            value = np.asarray(reader.get_tensor(name))
            if value.dtype.kind == "f":
                assert np.isfinite(value).all(), name


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_killed_at_random_moments_ends_with_the_same_bits(tmp_path, devices):
    flags = ("--steps=40", f"--virtual_devices={devices}", "--checkpoint_every=4")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, _, err = train(whole, *flags)
    assert code == 0, err
    draw = random.Random(devices)
    for _ in range(4):
        process = start(killed, *flags)
        seen = read(killed / "metrics.jsonl")
        step = (seen[-1]["step"] if seen else 0) + draw.randint(1, 6)
        wait_for_step(process, killed, min(step, 39))
        time.sleep(draw.random() * 0.3)
        process.kill()
        process.communicate()
    code, _, err = train(killed, *flags)
    assert code == 0, err
    assert_same_weights(whole, killed)
    logged = [line["step"] for line in read(killed / "metrics.jsonl") if "d_loss" in line]
    assert logged == list(range(1, 41))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["addons/AdaBelief", "addons/Lookahead"])
def test_addons_resume_with_the_same_bits(tmp_path, optimizer):
    pytest.importorskip("tensorflow_addons", reason="exists for Python 3.9 to 3.11 alone")
    flags = (f"--optimizer={optimizer}",)
    for folder, stops in (("whole", (8,)), ("stopped", (4, 8))):
        for steps in stops:
            code, _, err = train(tmp_path / folder, f"--steps={steps}", *flags)
            assert code == 0, err
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.slow
def test_clock_that_goes_back_between_two_starts_changes_nothing(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder, steps in ((whole, 8), (stopped, 4)):
        code, _, err = train(folder, f"--steps={steps}")
        assert code == 0, err
    future = time.time() + 3600
    for path in sorted(stopped.rglob("*")):  # older checkpoints are the newer files
        future -= 1
        os.utime(path, (future, future))
    for path in (stopped / "logs").glob("events.out.tfevents.*"):
        began = re.search(r"\d{10}", path.name)[0]
        path.rename(path.with_name(path.name.replace(began, str(int(began) + 3600))))
    code, out, err = train(stopped, "--steps=8")
    assert code == 0, err
    assert_same_weights(whole, stopped)
    lines = [read(folder / "metrics.jsonl") for folder in (whole, stopped)]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    assert [*logged_images.read(str(stopped), "samples")] == [2, 4, 6, 8]


@pytest.mark.slow
def test_full_disk_while_training_keeps_what_was_saved(tmp_path):
    """A limit on the size of files stands in for the disk; it is set once the first is saved."""
    import psutil

    process = start(tmp_path, "--steps=100000", "--checkpoint_every=5")
    wait_for_step(process, tmp_path, 6)
    psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (100_000, 100_000))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    last = err.splitlines()[-1]
    assert last.startswith("hali_tf: ") and "cannot be written" in last
    assert "Traceback" not in err
    assert not list((tmp_path / "checkpoints").rglob("*temp*"))
    assert int(load_run(str(tmp_path))[1].step) >= 5
