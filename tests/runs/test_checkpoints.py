"""Checkpoints: whole or not at all, the last few and the best, and what is said when one is bad."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.config import Config
from hali_tf.errors import UserError
from hali_tf.runs.checkpoints import Checkpoints
from hali_tf.runs.reopening import make_model


class Model(tf.Module):
    """Just a step and a weight."""

    def __init__(self, size=4):
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64)
        self.weight = tf.Variable(tf.zeros([size]))

    def advance(self, step):
        self.step.assign(step)
        self.weight.assign(tf.fill(self.weight.shape, float(step)))


def save_steps(folder, steps, which="last"):
    model = Model()
    checkpoints = Checkpoints(str(folder), model)
    for step in steps:
        model.advance(step)
        checkpoints.save(which)


def test_fresh_folder_restores_nothing(tmp_path):
    assert Checkpoints(str(tmp_path), Model()).restore() is None


def test_last_checkpoint_comes_back(tmp_path):
    save_steps(tmp_path, [3, 5])
    model = Model()
    assert Checkpoints(str(tmp_path), model).restore() == 5
    np.testing.assert_array_equal(model.weight, np.full(4, 5.0))


def test_the_last_few_and_the_best_are_kept(tmp_path):
    save_steps(tmp_path, [1, 2, 3, 4, 5])
    save_steps(tmp_path, [2], "best")
    names = sorted(p.name for p in (tmp_path / "checkpoints").glob("*.index"))
    assert names == ["ckpt-3.index", "ckpt-4.index", "ckpt-5.index"]
    model = Model()
    Checkpoints(str(tmp_path), model).restore_for_use("best")
    assert int(model.step) == 2


def test_a_part_of_an_old_checkpoint_is_removed_with_the_next(tmp_path):
    """A kill between its index and its data leaves the data."""
    save_steps(tmp_path, [1])
    (data,) = (tmp_path / "checkpoints").glob("ckpt-1.data-*")
    left = data.read_bytes()
    save_steps(tmp_path, [2, 3, 4])
    data.write_bytes(left)
    save_steps(tmp_path, [5])
    names = {p.name.partition(".")[0] for p in (tmp_path / "checkpoints").glob("ckpt-*")}
    assert names == {"ckpt-3", "ckpt-4", "ckpt-5"} and not data.exists()


def test_the_way_back_sets_all_later_ones_aside(tmp_path):
    save_steps(tmp_path, [2], "best")
    save_steps(tmp_path, [3, 4, 5])
    assert Checkpoints(str(tmp_path), Model()).go_back("best") == 2
    folder = tmp_path / "checkpoints"
    assert [p.name for p in folder.glob("*.index")] == ["ckpt-2.index"]
    aside = sorted(p.name for p in (folder / "aside").glob("*.index"))
    assert aside == ["ckpt-3.index", "ckpt-4.index", "ckpt-5.index"]


def test_a_best_one_of_a_future_that_was_lost_is_set_aside(tmp_path):
    save_steps(tmp_path, [1])
    save_steps(tmp_path, [1, 3], "best")
    assert Checkpoints(str(tmp_path), Model()).restore() == 1
    save_steps(tmp_path, [2], "best")
    model = Model()
    Checkpoints(str(tmp_path), model).restore_for_use("best")
    assert int(model.step) == 2
    best = tmp_path / "checkpoints" / "best"
    assert [p.name for p in (best / "aside").glob("*.index")] == ["ckpt-3.index"]


def test_use_without_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no checkpoint; train the run first"):
        Checkpoints(str(tmp_path), Model()).restore_for_use("last")


DAMAGE = {
    "cut short": lambda data, index: data.write_bytes(data.read_bytes()[:3]),
    "overwritten": lambda data, index: data.write_bytes(bytes(b ^ 0xFF for b in data.read_bytes())),
    "gone": lambda data, index: data.unlink(),
    "empty": lambda data, index: data.write_bytes(b""),
    "index gone": lambda data, index: index.unlink(),
    "index empty": lambda data, index: index.write_bytes(b""),
    "index cut short": lambda data, index: index.write_bytes(index.read_bytes()[:30]),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_the_one_before_a_damaged_checkpoint_is_used_and_it_is_said(tmp_path, said, what):
    save_steps(tmp_path, [1, 2])
    folder = tmp_path / "checkpoints"
    DAMAGE[what](folder / "ckpt-2.data-00000-of-00001", folder / "ckpt-2.index")
    left = {path.name: path.read_bytes() for path in folder.glob("ckpt-2*")}
    model = Model()
    Checkpoints(str(tmp_path), model).restore_for_use("last")
    assert int(model.step) == 1
    assert set(left) == {path.name for path in folder.glob("ckpt-2*")}  # reading moves nothing
    assert Checkpoints(str(tmp_path), model).restore() == 1
    np.testing.assert_array_equal(model.weight, np.full(4, 1.0))
    assert "ckpt-2: damaged" in said() and "ckpt-1 is used" in said()
    save_steps(tmp_path, [2])  # is written over nothing
    assert {p.name: p.read_bytes() for p in (folder / "aside").iterdir()} == left
    assert Checkpoints(str(tmp_path), Model()).restore() == 2


@pytest.mark.parametrize("what", [*DAMAGE, "another shape"])
def test_where_no_checkpoint_can_be_read_it_is_named_and_stays(tmp_path, what):
    save_steps(tmp_path, [2])
    folder = tmp_path / "checkpoints"
    if what in DAMAGE:
        DAMAGE[what](folder / "ckpt-2.data-00000-of-00001", folder / "ckpt-2.index")
    left = sorted(folder.rglob("*"))
    model = Model(7 if what == "another shape" else 4)
    with pytest.raises(UserError, match="ckpt-2: damaged, or of another model") as error:
        Checkpoints(str(tmp_path), model).restore()
    assert "\n" not in str(error.value)
    assert sorted(folder.rglob("*")) == left


@pytest.mark.parametrize("text", [None, "", "nonsense {", 'model_checkpoint_path: "ckpt-1"'])
def test_the_folder_decides_and_not_its_list(tmp_path, text):
    save_steps(tmp_path, [1, 2])
    path = tmp_path / "checkpoints" / "checkpoint"
    path.unlink() if text is None else path.write_text(text)
    assert Checkpoints(str(tmp_path), Model()).restore() == 2


def test_the_step_decides_and_not_the_time(tmp_path):
    save_steps(tmp_path, [9, 10, 11])
    for path in (tmp_path / "checkpoints").glob("ckpt-9.*"):
        os.utime(path, (2**32, 2**32))
    assert Checkpoints(str(tmp_path), Model()).restore() == 11


def test_tensorflow_finds_the_last_checkpoint(tmp_path):
    save_steps(tmp_path, [1, 2])
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).endswith("ckpt-2")


@pytest.mark.parametrize("name", ["run[1]", "run*", "run?", "back\\slash"])
def test_folder_that_could_not_be_read_again_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="rename the folder"):
        Checkpoints(str(tmp_path / name), Model())


@pytest.mark.parametrize("name", ["two words", "Zürich", "a]b", "{a}", "日本", "$HOME", "~"])
def test_other_names_of_folders_work(tmp_path, name):
    save_steps(tmp_path / name, [1, 2, 3, 4])
    assert Checkpoints(str(tmp_path / name), Model()).restore() == 4
    assert len(list((tmp_path / name).rglob("*.index"))) == 3


def test_further_variables_come_back_where_a_checkpoint_has_them(tmp_path):
    save_steps(tmp_path, [1])  # as of earlier versions
    model, old, new = Model(), tf.Variable(7.0), tf.Variable(0.0)
    checkpoints = Checkpoints(str(tmp_path), model, {"d_loss": old})
    assert checkpoints.restore() == 1
    assert old.numpy() == 7.0
    model.advance(2)
    checkpoints.save()
    Checkpoints(str(tmp_path), Model(), {"d_loss": new}).restore()
    assert new.numpy() == 7.0


def test_full_disk_leaves_the_one_before(tmp_path):
    """A limit on the size of files stands in for the disk: writes fail as they do on a full one."""
    script = textwrap.dedent(
        """
        import resource, sys
        import hali_tf, tensorflow as tf
        from hali_tf.errors import UserError
        from hali_tf.runs.checkpoints import Checkpoints

        class Model(tf.Module):
            def __init__(self):
                super().__init__()
                self.step = tf.Variable(1, dtype=tf.int64)
                self.weight = tf.Variable(tf.ones([100000]))

        model = Model()
        checkpoints = Checkpoints(sys.argv[1], model)
        checkpoints.save()
        model.step.assign(2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50000, resource.RLIM_INFINITY))
        try:
            checkpoints.save()
        except UserError as error:
            print(error)
            sys.exit(1)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 1, result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert "the checkpoint of step 2 cannot be written" in result.stdout
    assert "ckpt-1" in result.stdout
    assert not list((tmp_path / "checkpoints").rglob("ckpt-2*"))
    assert not list((tmp_path / "checkpoints").rglob("*temp*"))
    model = Model(100000)
    assert Checkpoints(str(tmp_path), model).restore() == 1
    np.testing.assert_array_equal(model.weight, np.ones(100000))


@pytest.mark.parametrize("name", ["ckpt-2.tmp", "ckpt-2_temp"])  # the latter: TensorFlow's own
def test_leftovers_of_a_kill_are_removed(tmp_path, name):
    save_steps(tmp_path, [1])
    for folder in (tmp_path / "checkpoints", tmp_path / "checkpoints" / "best"):
        (folder / name).mkdir(parents=True)
        (folder / name / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    assert Checkpoints(str(tmp_path), Model()).restore() == 1
    assert not list(tmp_path.rglob(name))
    save_steps(tmp_path, [2])
    assert Checkpoints(str(tmp_path), Model()).restore() == 2


def test_full_disk_is_named_however_long_the_path_is(tmp_path, monkeypatch):
    def write(_, path):
        raise tf.errors.ResourceExhaustedError(None, None, f"{path}; No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", write)
    with pytest.raises(UserError, match="No space left on device"):
        save_steps(tmp_path / ("long" * 50) / ("path" * 40), [1])


def test_names_in_a_checkpoint_are_paths_by_attributes(tmp_path):
    """Runs of one version of Keras open in the other by these names, so they may not change."""
    config = Config.of(
        run_dir=str(tmp_path), channels=1, width=0.01, precision="float32"
    ).validate()
    model = make_model(config)
    Checkpoints(str(tmp_path), model).save()
    reader = tf.train.load_checkpoint(str(tmp_path / "checkpoints"))
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    names = {n[: -len(end)] for n in reader.get_variable_to_shape_map() if n.endswith(end)}
    assert {
        "model/step",
        "model/average/encoder/levels/0/body/stack/0/conv/kernel",
        "model/encoder/levels/1/body/stack/0/norm/moving_variance",
        "model/discriminator/levels/0/body/stack/0/conv/g",
        "model/decoder/levels/0/body/stack/0/conv/kernel",
    } <= names
    assert len(names) == 1 + sum(
        len(network.weights)
        for network in (*model.networks.values(), model.average.encoder, model.average.decoder)
    )  # the 1 is the step
