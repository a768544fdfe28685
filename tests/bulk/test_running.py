"""Tasks over shards, in this process: values, what resumes, and what is refused."""

import errno

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hali_tf.bulk import formats, running, shards, tasks
from hali_tf.bulk.images import PictureImages, SplitImages
from hali_tf.data import Split
from hali_tf.errors import UsageError, UserError
from hali_tf.models.coder import Coder
from hali_tf.runs import lock
from hali_tf.runs.reopening import load_run
from tests.exporting.runs import make_run

RNG = np.random.default_rng(0)
SPLIT = Split(RNG.integers(0, 256, (23, 16, 16, 1), np.uint8), RNG.integers(0, 10, 23))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run") / "digits", width=0.1))[1]


@pytest.fixture(scope="module")
def labelled_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "digits"
    return load_run(make_run(folder, width=0.1, labels_per_class=2, classes=10))[1]


def encode(model, out, split=SPLIT, batch_size=4, **settings):
    task = tasks.Encode(Coder(model, batch_size), SplitImages(split, {"data": "x"}), **settings)
    return running.make(task, shards.Target.of(str(out), "", 8), model, batch_size)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_encode_gives_the_coders_values(model, tmp_path):
    assert encode(model, tmp_path / "out") == f"23 rows in 3 files: {tmp_path / 'out'}"
    arrays = shards.read(str(tmp_path / "out"))
    coder = Coder(model, 4)
    parts = [coder.encode(SPLIT.images[i : i + 8]) for i in (0, 8, 16)]
    for level in (1, 2):
        z = np.concatenate([part[level - 1] for part in parts])
        np.testing.assert_array_equal(arrays[f"z_{level}"], z)
        rebuilt = np.concatenate([coder.decode(part[level - 1], level) for part in parts])
        np.testing.assert_array_equal(arrays[f"reconstruction_{level}"], rebuilt)
    np.testing.assert_array_equal(arrays["index"], np.arange(23))
    np.testing.assert_array_equal(arrays["label"], SPLIT.labels)
    assert len(arrays) == 6


def test_encode_without_reconstructions_and_labels(model, tmp_path):
    encode(model, tmp_path / "out.npz", Split(SPLIT.images), reconstructions=False)
    with np.load(tmp_path / "out.npz") as arrays:
        assert sorted(arrays) == ["index", "z_1", "z_2"] and len(arrays["z_1"]) == 23


@pytest.mark.parametrize("level", [1, 2])
def test_decode_gives_the_reconstructions(model, tmp_path, level):
    encode(model, tmp_path / "latents")
    latents = shards.Shards.open(str(tmp_path / "latents"))
    task = tasks.Decode(Coder(model, 4), latents, level)
    running.make(task, shards.Target.of(str(tmp_path / "images.npz"), "", 8), model, 4)
    arrays, encoded = (shards.read(str(tmp_path / name)) for name in ("images.npz", "latents"))
    difference = np.int32(arrays["image"]) - encoded[f"reconstruction_{level}"]
    assert np.abs(difference).max() <= 1  # other batches: a rounding
    np.testing.assert_array_equal(arrays["label"], SPLIT.labels)
    with np.load(tmp_path / "images.npz") as file:  # the latents are not in it, the order is one
        assert file.files == ["index", "label", "image"]


def test_rows_are_read_across_shards(model, tmp_path):
    encode(model, tmp_path / "out")
    whole = shards.Shards.open(str(tmp_path / "out"))
    for begin, end in ((0, 23), (5, 6), (7, 17), (16, 23)):
        np.testing.assert_array_equal(whole.read(begin, end)["index"], np.arange(begin, end))


def test_samples_follow_from_their_seeds(model, tmp_path):
    def sample(count, seed):
        out = tmp_path / f"{count}-{seed}"
        task = tasks.Sample(Coder(model), count, seed)
        running.make(task, shards.Target.of(str(out), "", 8), model, 64)
        return shards.read(str(out))

    one, more, other = sample(8, 0), sample(20, 0), sample(8, 1)
    np.testing.assert_array_equal(one["image"], Coder(model).sample(one["seed"]))
    np.testing.assert_array_equal(more["image"][:8], one["image"])
    assert len(np.unique(more["seed"])) == 20 and not (one["seed"] == other["seed"]).any()


def test_samples_have_their_labels(labelled_model, tmp_path):
    coder, seeds = Coder(labelled_model), np.arange(6)
    of_prior = coder.sample(seeds)
    by_label = np.stack([coder.sample(seeds, np.full(6, k)) for k in range(10)])
    # A draw of the prior has one of the labels, and looks as that one does.
    drawn = (by_label == of_prior).all(axis=(2, 3, 4)).argmax(axis=0)
    np.testing.assert_array_equal(by_label[drawn, np.arange(6)], of_prior)
    assert len({image.tobytes() for image in by_label[:, 0]}) > 1
    task = tasks.Sample(coder, 25, 0, tuple(range(10)))
    running.make(task, shards.Target.of(str(tmp_path / "s"), "", 8), labelled_model, 64)
    arrays = shards.read(str(tmp_path / "s"))
    np.testing.assert_array_equal(arrays["label"], np.arange(25) % 10)
    alone = coder.sample(arrays["seed"][:8], arrays["label"][:8])
    np.testing.assert_array_equal(arrays["image"][:8], alone)


def test_goes_on_with_what_is_missing(model, tmp_path, capsys):
    encode(model, tmp_path / "whole")
    whole = files(tmp_path / "whole")
    encode(model, tmp_path / "out")
    second, third = sorted((tmp_path / "out").glob("*.npz"))[1:]
    second.unlink()
    third.write_bytes(third.read_bytes()[:-100])
    (tmp_path / "out" / f"{second.name}.4321.tmp").write_text("killed while it was written")
    before = (tmp_path / "out" / "00000-of-00003.npz").stat().st_mtime_ns
    assert "3 files, 1 of which were there" in encode(model, tmp_path / "out")
    assert f"{third}: damaged" in capsys.readouterr().err
    after = files(tmp_path / "out")
    assert after.keys() == whole.keys()
    assert all(after[name] == whole[name] for name in whole if name != "manifest.json")
    assert (tmp_path / "out" / "00000-of-00003.npz").stat().st_mtime_ns == before


def test_pictures(model, tmp_path):
    for name in ("b.png", "sub/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(SPLIT.images[0, ..., 0]).save(tmp_path / name)
    paths = [str(tmp_path / name) for name in ("b.png", "sub")]
    images = PictureImages(paths, model.image_shape, "digits")
    running.make(
        tasks.Encode(Coder(model), images),
        shards.Target.of(str(tmp_path / "o.npz"), "", 8),
        model,
        64,
    )
    arrays = shards.read(str(tmp_path / "o.npz"))
    assert arrays["path"].tolist() == [paths[0], str(tmp_path / "sub" / "a.png")]
    np.testing.assert_array_equal(arrays["z_2"], Coder(model).encode(SPLIT.images[[0, 0]])[1])


def test_whole_names_of_pictures_are_the_same_from_every_folder(model, tmp_path, monkeypatch):
    def identity(path):
        return PictureImages([str(path)], model.image_shape, "digits").identity

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(SPLIT.images[0, ..., 0]).save(tmp_path / folder / "x.png")
    whole, relative = set(), set()
    for folder in ("a", "b"):
        monkeypatch.chdir(tmp_path / folder)
        whole.add(identity(tmp_path / "a" / "x.png")["files"])
        relative.add(identity("x.png")["files"])
    assert len(whole) == 1 and len(relative) == 2


def test_picture_that_is_missing_or_broken(model, tmp_path):
    with pytest.raises(UserError, match="none.png: not found"):
        PictureImages([str(tmp_path / "none.png")], model.image_shape, "digits")
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(UserError, match="bad.png: not an image .*; remove what cannot be read"):
        PictureImages([str(bad)], model.image_shape, "digits")
    Image.fromarray(RNG.integers(0, 256, (64, 64), np.uint8)).save(bad)
    bad.write_bytes(bad.read_bytes()[:2000])  # its header is whole
    with pytest.raises(UserError, match="bad.png: image file is truncated.*; remove what cannot"):
        PictureImages([str(bad)], model.image_shape, "digits")


def test_too_little_memory_of_the_device_names_the_flag(model, tmp_path):
    class Large:
        name, rows, layout, identity = "large", 1, {"x": ("float32", [])}, {}

        def load(self, begin, end):
            return {"seed": np.arange(begin, end)}

        def compute(self, batch):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nand more")

    with pytest.raises(UserError, match=r"--batch_size=64: the device .* \(OOM when allocating\);"):
        running.make(Large(), shards.Target.of(str(tmp_path / "out"), "", 8), model, 64)


def test_out_of_another_job(model, labelled_model, tmp_path):
    encode(model, tmp_path / "out")
    before = files(tmp_path / "out")
    other_images = Split(SPLIT.images[::-1], SPLIT.labels)
    other_image, other_label = (Split(SPLIT.images.copy(), SPLIT.labels.copy()) for _ in range(2))
    other_image.images[1, 0, 0, 0] ^= 1
    other_label.labels[-1] += 1
    for arguments, words in (
        ((model, tmp_path / "out", other_images), "images is "),
        ((model, tmp_path / "out", other_image), "images is "),
        ((model, tmp_path / "out", other_label), "images is "),
        ((model, tmp_path / "out", SPLIT, 8), "batch_size is 8 here and 4 there"),
        ((labelled_model, tmp_path / "out"), "weights is "),
    ):
        with pytest.raises(UserError, match="is of another job; name another --out") as error:
            encode(*arguments)
        assert words in str(error.value) and "\n" not in str(error.value)
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["out", "out.npz"])
def test_out_that_is_something_else_stays(model, tmp_path, name):
    if name == "out":
        (tmp_path / name).mkdir()
        mine = tmp_path / name / "mine.txt"
    else:
        mine = tmp_path / name
    mine.write_text("mine")
    with pytest.raises(UserError, match="without the manifest of this job"):
        encode(model, tmp_path / name)
    assert mine.read_text() == "mine" and len(list(mine.parent.iterdir())) == 1


def test_a_folder_that_may_not_be_listed(model, tmp_path, monkeypatch):
    def refused(folder):
        raise PermissionError(errno.EACCES, "Permission denied", folder)

    monkeypatch.setattr(shards.files, "names", refused)
    with pytest.raises(UserError, match="^--out=.*out: cannot be written .Permission denied.$"):
        encode(model, tmp_path / "out")


def test_a_folder_where_a_file_is_to_be(model, tmp_path):
    (tmp_path / "e.npz").mkdir()
    with pytest.raises(UserError, match="e.npz: is there, without the manifest"):
        encode(model, tmp_path / "e.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["e.npz"]


def test_a_large_file_is_read_once_for_all_its_parts(model, tmp_path, monkeypatch):
    encode(model, tmp_path / "one.npz")
    opened, read_file = [], formats.read
    monkeypatch.setattr(
        formats, "read", lambda path, *rest: opened.append(path) or read_file(path, *rest)
    )
    one = shards.Shards.open(str(tmp_path / "one.npz"))
    parts = [one.read(begin, begin + 5, ["index"])["index"] for begin in range(0, 20, 5)]
    assert np.concatenate(parts).tolist() == list(range(20)) and len(opened) == 1


def test_out_that_another_command_writes(model, tmp_path):
    import fcntl

    encode(model, tmp_path / "out")
    with open(tmp_path / "out" / "manifest.json") as manifest:
        fcntl.flock(manifest, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another command is writing it"):
            encode(model, tmp_path / "out")


def test_where_nothing_can_be_locked_it_is_said(model, tmp_path, monkeypatch, caplog):
    def no_locks(file, operation):
        assert file.writable()  # NFS has no exclusive lock of what is only read
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    encode(model, tmp_path / "out")
    assert len(shards.read(str(tmp_path / "out"))["index"]) == 23
    assert "cannot be locked" in caplog.text and "No locks available" in caplog.text


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("x.csv", "", 8), r"--out=x.csv: expected an ending of .npz, .tfrecord, .parquet"),
        (("x", "csv", 8), "--format=csv: expected one of npz, tfrecord, parquet"),
        (("x.npz", "tfrecord", 8), "--out=x.npz: its ending does not fit --format=tfrecord"),
        (("", "", 8), "--out=: expected a file to write, or a folder"),
        (("x", "", 0), "--shard_size=0: expected at least 1"),
        (("no/such/x", "", 8), "--out=no/such/x: its folder does not exist"),
    ],
)
def test_target_that_cannot_work(arguments, words):
    with pytest.raises(UsageError, match=words):
        shards.Target.of(*arguments)


_HEAD = '{"format": "npz", "rows": 1, "rows_of_a_file": 1, '
_JOB = '"job": {"task": "x", "weights": "", "step": 1}}'
_NO_MANIFESTS = (
    None,
    "{",
    "[]",
    "{}",
    '{"job": {}}',
    '{"job": null}',
    _HEAD + '"arrays": {}, "job": {"task": "x"}}',
    _HEAD + '"arrays": {"z": 3}, "job": {"task": "x", "weights": "", "step": 1}}',
    '{"format": "npz", "rows": 0, "rows_of_a_file": 1, "arrays": {}, ' + _JOB,
    '{"format": "npz", "rows": 1, "rows_of_a_file": -1, "arrays": {}, ' + _JOB,
)


@pytest.mark.parametrize("text", _NO_MANIFESTS)
def test_no_manifest(tmp_path, text):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest.json: (not (found|a manifest)|arrays: not)"):
        shards.read(str(tmp_path))


def test_a_job_that_began_in_between_is_seen(model, tmp_path, monkeypatch):
    """Another command writes its manifest after this one looked, and before this one locks."""
    target = shards.Target.of(str(tmp_path / "out"), "", 8)

    create = shards.Shards.create

    def begun(target, layout, rows, job):
        create(target, layout, rows, {**job, "seed": 1})
        return shards.Shards(target, layout, rows, job)

    monkeypatch.setattr(running.Shards, "create", begun)
    with pytest.raises(UserError, match="is of another job"):
        running.make(tasks.Sample(Coder(model), 16, seed=2), target, model, 64)


def test_what_killed_commands_left_is_removed_in_one_look(tmp_path):
    target = shards.Target.of(str(tmp_path / "out"), "npz", 1)
    own = shards.Shards(target, {}, 3, {})
    (tmp_path / "out").mkdir()
    left = [own.path(0), own.path(2), target.manifest]
    for path in left:
        (tmp_path / f"{path}.12-34.tmp").write_text("half")
    (tmp_path / "out" / "mine.12-34.tmp").write_text("mine")
    own.remove_partial()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.12-34.tmp"]
