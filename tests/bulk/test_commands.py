"""The commands: one after the other, killed, and what they refuse."""

import signal
import time

import numpy as np
import pytest
from PIL import Image

from hali_tf.bulk import shards
from hali_tf.config import Config
from hali_tf.models.coder import Coder
from hali_tf.runs.reopening import load_run, open_data
from tests.commands import run, start
from tests.exporting.runs import make_run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "digits", width=0.1)


def test_encode_the_runs_own_digits(run_dir, tmp_path):
    out = tmp_path / "latents"
    code, printed, err = run("encode", f"--run_dir={run_dir}", f"--out={out}", "--shard_size=100")
    assert (code, printed) == (0, f"250 rows in 3 files: {out}\n"), err
    config, model = load_run(run_dir)
    test, arrays, coder = open_data(config).load("test"), shards.read(str(out)), Coder(model)
    np.testing.assert_array_equal(arrays["label"], test.labels)
    for level, z in enumerate(coder.encode(test.images[:100]), start=1):
        np.testing.assert_array_equal(arrays[f"z_{level}"][:100], z)
        np.testing.assert_array_equal(
            arrays[f"reconstruction_{level}"][:100], coder.decode(z, level)
        )


def test_encode_pictures_and_another_set(run_dir, tmp_path):
    """Named pictures, and a folder of the same ones by --data, have the latents of their pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
    for name, picture in zip("abcde", pixels):
        Image.fromarray(picture[..., 0]).save(folder / f"{name}.png")
    of_set, of_names = tmp_path / "set.npz", tmp_path / "names.npz"
    arguments = {
        of_set: ("--data=folder", f"--data_dir={folder}", "--split=train"),
        of_names: (folder / "b.png", folder / "a.png"),
    }
    for out, images in arguments.items():
        code, _, err = run("encode", f"--run_dir={run_dir}", f"--out={out}", *images)
        assert code == 0, err
    names, whole = shards.read(str(of_names)), shards.read(str(of_set))
    assert names["path"].tolist() == [str(folder / "b.png"), str(folder / "a.png")]
    source = open_data(Config.of(data="folder", data_dir=str(folder), image_size=16, channels=1))
    train = source.load("train").images
    assert 0 < len(train) == len(whole["index"])
    coder = Coder(load_run(run_dir)[1])
    for images, arrays in ((pixels[[1, 0]], names), (train, whole)):
        for level, z in enumerate(coder.encode(images), start=1):
            np.testing.assert_array_equal(arrays[f"z_{level}"], z)


@pytest.mark.slow
def test_from_images_to_latents_and_back(run_dir, tmp_path):
    latents, images, samples = (tmp_path / n for n in ("l", "images.tfrecord", "samples.npz"))
    for program, *arguments in (
        ("encode", "--split=train", f"--out={latents}", "--format=tfrecord"),
        ("decode", f"--latents={latents}", f"--out={images}", "--level=1"),
        ("sample", f"--out={samples}", "--count=70", "--seed=3"),
    ):
        code, _, err = run(program, f"--run_dir={run_dir}", *arguments)
        assert code == 0, err
    rebuilt = shards.read(str(latents))["reconstruction_1"]
    np.testing.assert_array_equal(shards.read(str(images))["image"][:1024], rebuilt[:1024])
    assert shards.read(str(samples))["image"].shape == (70, 16, 16, 1)
    code, _, err = run(
        "decode", f"--run_dir={run_dir}", f"--latents={samples}", f"--out={tmp_path / 'x'}"
    )
    assert code == 1 and "received what hali_tf.sample wrote" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "program, kind",
    [("sample", "npz"), ("sample", "tfrecord"), ("encode", "parquet"), ("decode", "npz")],
)
def test_killed_and_started_again_ends_with_the_same_bytes(run_dir, tmp_path, program, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    if program == "decode":
        code, _, err = run(
            "encode", f"--run_dir={run_dir}", "--split=train", f"--out={tmp_path / 'latents.npz'}"
        )
        assert code == 0, err

    def arguments(out):
        sizes = {
            "sample": ("--count=3000", "--shard_size=100"),
            "encode": ("--split=train", "--shard_size=40"),
            "decode": (f"--latents={tmp_path / 'latents.npz'}", "--shard_size=40"),
        }[program]
        where = (f"--run_dir={run_dir}", f"--out={out}", f"--format={kind}")
        return (program, *where, "--batch_size=2", *sizes)

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for least in (2, 9):
        process = start(*arguments(killed))
        while len(list(killed.glob(f"*.{kind}"))) < least:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        made = {path: path.stat().st_mtime_ns for path in killed.glob(f"*.{kind}")}
        assert least <= len(made) < 30
    code, out, err = run(*arguments(killed))
    assert code == 0 and f" files, {len(made)} of which were there" in out, err
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert run(*arguments(whole))[0] == 0
    names = sorted(path.name for path in whole.iterdir())
    shards_made = [name for name in names if name.endswith(kind)]
    assert names == sorted(path.name for path in killed.iterdir()) and len(shards_made) >= 30
    for name in shards_made:
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
def test_decode_refuses_what_it_cannot_trust(run_dir, tmp_path):
    latents = tmp_path / "latents"
    code, _, err = run("encode", f"--run_dir={run_dir}", f"--out={latents}", "--shard_size=100")
    assert code == 0, err
    other = make_run(tmp_path / "other", width=0.6)
    decode = ("decode", f"--latents={latents}", f"--out={tmp_path / 'images'}")
    code, _, err = run(*decode, f"--run_dir={other}")
    assert code == 1 and "has other weights, of step 0; name the run" in err.splitlines()[-1]
    code, _, err = run(*decode, f"--run_dir={run_dir}", "--level=3")
    assert code == 2 and "--level=3: expected 1 to 2, or 0" in err.splitlines()[-1]
    shard = latents / "00001-of-00003.npz"
    shard.write_bytes(shard.read_bytes()[:-1000])
    code, _, err = run(*decode, f"--run_dir={run_dir}")
    last = err.splitlines()[-1]
    assert code == 1 and "Traceback" not in err
    assert f"{shard}: damaged" in last and f"the command in {latents}/manifest.json" in last


@pytest.mark.parametrize(
    "program, arguments, code, words",
    [
        ("encode", ("--out=x.csv",), 2, "expected an ending of .npz, .tfrecord, .parquet"),
        ("encode", ("--out=x", "--format=csv"), 2, "--format=csv: expected one of npz, tfrecord"),
        ("encode", ("--out=x", "--split=all"), 2, "--split=all: expected one of train"),
        ("encode", ("--out=x", "--data=digits", "a.png"), 2, "--data: a.png is named too"),
        ("encode", ("--out=x.npz", "--shard_size=9"), 2, "--shard_size with --out=x.npz, one file"),
        ("encode", ("--out=x", "--batch_size=0"), 2, "--batch_size=0: expected at least 1"),
        ("decode", ("--out=x",), 2, "--latents=: expected the file or folder"),
        ("decode", ("--out=x", "--latents=none.npz"), 1, "none.npz.json: not found"),
        ("sample", ("--out=x", "--count=0"), 2, "--count=0: expected at least 1"),
        ("sample", ("--out=x", "--seed=-1"), 2, "--seed=-1: expected at least 0"),
    ],
)
def test_refusals_are_one_line(run_dir, program, arguments, code, words):
    received, out, err = run(program, f"--run_dir={run_dir}", *arguments)
    assert (received, out) == (code, "")
    assert len(err.splitlines()) == 1 and words in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "program, arguments, code, words",
    [
        ("encode", ("none.png",), 1, "none.png: not found; expected a picture"),
        ("sample", ("--label=1",), 2, "--label=1: the run has no labels"),
        ("encode", ("--checkpoint=best",), 1, "checkpoints/best: no checkpoint"),
        ("sample", ("--checkpoint=best",), 1, "checkpoints/best: no checkpoint"),
    ],
)
def test_refusals_with_the_run_are_one_line(run_dir, tmp_path, program, arguments, code, words):
    received, out, err = run(program, f"--run_dir={run_dir}", f"--out={tmp_path / 'x'}", *arguments)
    assert (received, out) == (code, "")
    assert len(err.splitlines()) == 1 and words in err
    assert not list(tmp_path.iterdir())
