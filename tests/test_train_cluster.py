"""Training by several processes on this machine, as by several machines."""

import json
import re
import signal
import time

import numpy as np
import pytest

from hali_tf.runs.metrics_file import read
from tests import cluster, commands
from tests.training_command import TINY, assert_same_weights, train, weights

# What makes a replica's part of a batch count as in the whole batch. The seed is one of those whose
# runs meet no activation so near 0 that rounding decides which slope leaky ReLU has; others differ
# by up to 2e-4, this one by 1e-7.
EQUAL = ("--batch_size=8", "--sync_batch_norm", "--dropout=false", "--steps=2", "--seed=2")


def assert_close_weights(run_dir, other, atol=2e-5):
    one, two = weights(run_dir), weights(other)
    assert one.keys() == two.keys()
    for name, value in one.items():
        if not name.startswith("window/"):  # of the log, whose losses are compared
            np.testing.assert_allclose(value, two[name], rtol=1e-3, atol=atol, err_msg=name)


def losses(run_dir, name="d_loss"):
    return [line[name] for line in read(run_dir / "metrics.jsonl") if name in line]


def test_two_workers_train_as_one_process_does(tmp_path):
    """A VAE, which starts soonest; the slow tests have the other models."""
    flags = (*EQUAL, "--model=vae")
    workers = cluster.start(tmp_path / "two", [flags] * 2)
    code, _, err = train(tmp_path / "one", *flags)
    assert code == 0, err
    (chief, out, err), (other, *said) = cluster.finish(workers)
    assert (chief, other) == (0, 0), (err, said)
    assert "step 2, digits" in out and said == ["", ""]
    assert_close_weights(tmp_path / "one", tmp_path / "two")
    one, two = (losses(tmp_path / name, "elbo") for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-5)
    assert len(two) == 2
    (began,) = json.loads((tmp_path / "two" / "run.json").read_text())
    assert began["replicas"] == 2
    files = (
        {p.name for p in (tmp_path / n).rglob("*") if "tfevents" not in p.name}
        for n in ("one", "two")
    )
    assert next(files) == next(files)


@pytest.mark.slow
@pytest.mark.parametrize("before, after", [(2, 1), (1, 2)])
def test_run_goes_on_with_another_number_of_workers(tmp_path, before, after):
    """Up to rounding as if nothing had changed, where a replica's part counts as in the batch."""
    run, flags = tmp_path / "run", (*EQUAL, "--model=vae")
    for _, _, err in cluster.train(run, before, *flags):
        assert "was trained with" not in err
    checkpoint = run / "checkpoints" / "ckpt-2.index"
    saved = checkpoint.stat().st_mtime_ns
    (_, _, err), *_ = cluster.train(run, after, *flags, "--steps=3")
    assert f"batches in {before} parts (devices x --accumulate) and continues with {after}:" in err
    assert checkpoint.stat().st_mtime_ns == saved  # not trained to step 2 again
    starts = json.loads((run / "run.json").read_text())
    assert [start["replicas"] for start in starts] == [before, after]
    cluster.train(tmp_path / "whole", 1, *flags, "--steps=3")
    assert_close_weights(run, tmp_path / "whole", atol=1e-4)  # a tenth of the learning rate
    one, two = (losses(tmp_path / name, "elbo") for name in ("run", "whole"))
    np.testing.assert_allclose(one, two, rtol=1e-5)
    assert len(two) == 3


@pytest.mark.slow
def test_run_goes_on_with_micro_batches_in_place_of_devices(tmp_path):
    """With batch norm and dropout, which each part has to itself."""
    whole, run, flags = tmp_path / "whole", tmp_path / "run", ("--batch_size=8", "--seed=2")
    for folder, *further in (
        (whole, "--steps=4", "--virtual_devices=2"),
        (run, "--steps=2", "--virtual_devices=2"),
        (run, "--steps=4", "--accumulate=2"),
    ):
        code, _, err = train(folder, *flags, *further)
        assert code == 0 and "was trained with" not in err, err
    assert_close_weights(whole, run, atol=5e-4)
    np.testing.assert_allclose(losses(whole), losses(run), rtol=1e-4)
    code, _, err = train(run, *flags, "--steps=5", "--accumulate=4")
    assert code == 1 and "in 2 parts (devices x --accumulate), and these would be 4" in err


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_workers_train_as_replicas_of_one_process_do(tmp_path, count):
    flags = ("--batch_size=8", "--steps=3")  # batch norm and dropout of each replica's own
    cluster.train(tmp_path / "workers", count, *flags)
    code, _, err = train(tmp_path / "replicas", *flags, f"--virtual_devices={count}")
    assert code == 0, err
    # A sum in another order moves Adam's first updates by some hundredths of a step.
    assert_close_weights(tmp_path / "replicas", tmp_path / "workers", atol=5e-4)
    one, two = (losses(tmp_path / name) for name in ("replicas", "workers"))
    np.testing.assert_allclose(one, two, rtol=1e-4)


@pytest.mark.slow
def test_workers_share_the_few_labels(tmp_path):
    flags = (*EQUAL, "--labels_per_class=2", "--label_shift=1", "--label_warp=0.1")
    cluster.train(tmp_path / "two", 2, *flags)
    code, _, err = train(tmp_path / "one", *flags)
    assert code == 0, err
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_run_that_loses_a_worker_goes_on_as_if_it_had_not(tmp_path, victim):
    flags = ("--batch_size=8", "--steps=40", "--checkpoint_every=10", "--log_every=10")
    run = tmp_path / "run"
    workers = cluster.start(run, [flags] * 2)
    until = time.monotonic() + 300
    while not (run / "checkpoints" / "ckpt-10.index").exists() and time.monotonic() < until:
        time.sleep(0.05)
    workers[victim].send_signal(signal.SIGKILL)
    code, _, err = cluster.finish(workers)[1 - victim]
    assert code == 75, err
    assert "another worker has ended; start all of them again" in err.splitlines()[-1]
    assert not (run / "summary.json").exists()
    cluster.train(run, 2, *flags)
    cluster.train(tmp_path / "whole", 2, *flags)
    assert_same_weights(run, tmp_path / "whole")


@pytest.mark.slow
def test_workers_go_back_together_as_one_process_does(tmp_path):
    flags = (*EQUAL, "--model=vae", "--on_divergence=rollback", "--steps=6")
    workers = cluster.start(tmp_path / "two", [flags] * 2, "tests.collapsing")
    code, _, err = commands.run("tests.collapsing", *TINY, f"--run_dir={tmp_path / 'one'}", *flags)
    assert code == 0, err
    for code, _, err in cluster.finish(workers):
        assert code == 0, err
        assert "Going back to step 2" in err
    one, two = (json.loads((tmp_path / n / "rollbacks.json").read_text()) for n in ("one", "two"))
    assert one == two
    assert [(taken["at"], taken["to"]) for taken in two] == [(4, 2)]
    one, two = (losses(tmp_path / name, "elbo") for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-4)
    assert len(two) == 6
    assert_close_weights(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_workers_go_back_together_three_times_and_end(tmp_path):
    flags = ("--batch_size=8", "--learning_rate=1e30", "--on_divergence=rollback", "--steps=50")
    for code, _, err in cluster.finish(cluster.start(tmp_path, [flags] * 2)):
        assert code == 1, err
        assert "the run has gone back 3 times already" in err.splitlines()[-1]
    assert len(json.loads((tmp_path / "rollbacks.json").read_text())) == 3


@pytest.mark.slow
def test_signal_to_one_worker_stops_and_saves_all(tmp_path):
    run, flags = tmp_path / "run", ("--batch_size=8", "--steps=100000", "--checkpoint_every=99999")
    workers = cluster.start(run, [flags] * 2)
    until = time.monotonic() + 300
    while not losses(run) and time.monotonic() < until:
        time.sleep(0.1)
    workers[1].send_signal(signal.SIGTERM)
    done = cluster.finish(workers)
    assert [code for code, *_ in done] == [143, 143], done
    (step,) = {re.search(r"SIGTERM at step (\d+)", err)[1] for *_, err in done}
    assert (run / "checkpoints" / f"ckpt-{step}.index").exists()


@pytest.mark.slow
def test_workers_with_other_flags_say_so(tmp_path):
    done = cluster.finish(cluster.start(tmp_path / "run", [("--seed=1",), ("--seed=2",)]))
    for code, out, err in done:
        assert (code, out) == (2, "")
        assert "worker 1 differs from the chief (worker 0) in --seed;" in err
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_worker_whose_folder_is_another_one_says_so(tmp_path):
    """A folder that is not shared; after the time that a network disk may take."""
    flags = [(f"--run_dir={tmp_path / name}", "--steps=2") for name in "ab"]
    (chief, *_), (code, _, err) = cluster.finish(cluster.start(tmp_path / "run", flags))
    assert chief != 0 and code == 1
    assert "ckpt-0: the chief trains from it, but this worker cannot read it" in err
