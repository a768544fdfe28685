"""Runs and data on an object store, as which TensorFlow's ram:// stands in."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from PIL import Image

from hali_tf.bulk.shards import read
from hali_tf.config import flags as configuration_flags
from hali_tf.errors import UsageError
from hali_tf.runs.metrics_file import read as read_metrics
from tests.training_command import assert_same_weights

RUN = "ram://bucket/runs/a"
TINY = (
    "--data=folder", "--image_size=16", "--width=0.01", "--batch_size=4", "--precision=float32",
    "--learning_rate=1e-3", "--log_every=1", "--checkpoint_every=2", "--steps=6",
)  # fmt: skip


def in_one_process(*commands):
    """Exit code, stdout and stderr of each command; see `tests.one_process`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.one_process"],
        input=json.dumps([[str(part) for part in command] for command in commands]),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of pictures in two classes."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    rng = np.random.default_rng(0)
    for number in range(40):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    return folder


def _check(answers, codes=None):
    for number, (code, _, err) in enumerate(answers):
        assert code == (codes or {}).get(number, 0), (number, err)
        assert "Traceback" not in err


def test_stopped_run_on_a_store_goes_on_and_equals_one_on_a_disk(tmp_path, photos):
    flags = (*TINY, "--model=vae", f"--cache_dir={tmp_path / 'cache'}")
    remote = (*flags, "--data_dir=ram://bucket/photos", f"--run_dir={RUN}")
    answers = in_one_process(
        ("copy", photos, "ram://bucket/photos"),
        ("stop", "train", *remote),
        ("train", *remote),
        ("evaluate", f"--run_dir={RUN}", "--only=reconstruction"),
        ("train", *flags, f"--data_dir={photos}", f"--run_dir={tmp_path / 'local'}"),
        ("evaluate", "--run_dir=s3x://bucket/run"),
        ("copy", "ram://bucket", tmp_path / "bucket"),
    )
    _check(answers, {1: 143, 5: 2})
    assert "stopped by SIGTERM at step 3" in answers[1][2]
    known = "--run_dir=s3x://bucket/run: TensorFlow .* does not know s3x://, only .*gs://.*; pip .*"
    assert re.fullmatch(f"hali_tf: {known}\n", answers[5][2])
    run = tmp_path / "bucket" / "runs" / "a"
    assert_same_weights(run, tmp_path / "local")
    steps = [line["step"] for line in read_metrics(run / "metrics.jsonl")]
    assert steps == [line["step"] for line in read_metrics(tmp_path / "local" / "metrics.jsonl")]
    assert not (run / "lock").exists() and (run / "logs").is_dir()
    assert {path.name for path in run.iterdir()} >= {"figures", "run.json", "summary.json"}
    assert "data:image/png;base64" in (run / "evaluation" / "report.html").read_text()


@pytest.mark.slow
def test_everything_that_is_done_with_a_run_is_done_on_a_store(tmp_path, photos):
    flags = (*TINY, f"--cache_dir={tmp_path / 'cache'}", "--data_dir=ram://bucket/photos")
    run = f"--run_dir={RUN}"
    answers = in_one_process(
        ("copy", photos, "ram://bucket/photos"),
        ("train", *flags, run),
        ("train", *flags, "--run_dir=ram://bucket/runs/b", f"--init_from={RUN}:best"),
        ("evaluate", run, "--baselines=ram://bucket/runs/b", "--only=reconstruction"),
        ("evaluate", f"--compare={RUN},ram://bucket/runs/b"),
        ("export", run, "--export_dir=ram://bucket/export"),
        ("show", "reconstruct", "ram://bucket/photos/a/2.png", run, "--out=ram://bucket/r.png"),
        ("show", "film", run, "--out=ram://bucket/f.gif"),
        ("encode", "ram://bucket/photos", run, "--out=ram://bucket/latents", "--shard_size=9"),
        ("encode", "ram://bucket/photos", run, "--out=ram://bucket/latents", "--shard_size=9"),
        ("decode", run, "--latents=ram://bucket/latents", "--out=ram://bucket/i.tfrecord"),
        ("sample", run, "--count=3", "--out=ram://bucket/s.npz"),
        ("copy", "ram://bucket", tmp_path / "bucket"),
    )
    _check(answers)
    bucket = tmp_path / "bucket"
    version = bucket / "export" / "1"
    assert {path.name for path in version.iterdir()} >= {"saved_model.pb", "variables"}
    assert (version / "assets.extra" / "model_card.json").exists()
    for name in ("r.png", "f.gif", "runs/comparison/curves.png"):
        with Image.open(bucket / name) as picture:
            picture.load()
    assert "5 of which were there" in answers[9][1]
    assert len(read(str(bucket / "latents"))["z_1"]) == 40
    assert len(read(str(bucket / "i.tfrecord"))["image"]) == 40
    assert len(read(str(bucket / "s.npz"))["image"]) == 3


def test_the_name_of_a_server_is_no_storage(monkeypatch):
    own = flags.FlagValues()
    flags.DEFINE_string("target", "dns:///models:8500", "A server.", flag_values=own)
    flags.DEFINE_string("out", "", "A file.", flag_values=own)
    monkeypatch.setattr(configuration_flags.flags, "FLAGS", own)
    own(["command"])
    configuration_flags.check_remote()
    own.out = "dns:///models"
    with pytest.raises(UsageError, match="--out=dns:///models: TensorFlow .* does not know dns://"):
        configuration_flags.check_remote()
