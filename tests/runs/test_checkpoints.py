"""Checkpoints: whole or not at all, the last few and the best, and what is said when one is bad."""

import pathlib
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
    assert Checkpoints(str(tmp_path), Model()).restore() == 0


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


def test_use_without_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no checkpoint; train the run first"):
        Checkpoints(str(tmp_path), Model()).restore_for_use("last")


@pytest.mark.parametrize("what", ["cut short", "overwritten", "gone", "another shape"])
def test_damaged_checkpoint_is_named(tmp_path, what):
    save_steps(tmp_path, [1, 2])
    data = tmp_path / "checkpoints" / "ckpt-2.data-00000-of-00001"
    size = 4
    if what == "cut short":
        data.write_bytes(data.read_bytes()[:3])
    elif what == "overwritten":
        data.write_bytes(bytes(b ^ 0xFF for b in data.read_bytes()))
    elif what == "gone":
        data.unlink()
    else:
        size = 7
    with pytest.raises(UserError, match="ckpt-2: damaged, or of another model") as error:
        Checkpoints(str(tmp_path), Model(size)).restore()
    assert "\n" not in str(error.value)


def test_damaged_list_of_checkpoints_is_named(tmp_path):
    save_steps(tmp_path, [1])
    (tmp_path / "checkpoints" / "checkpoint").write_text("nonsense {")
    with pytest.raises(UserError, match="checkpoints/checkpoint: damaged"):
        Checkpoints(str(tmp_path), Model()).restore()


def test_what_is_said_about_a_damaged_checkpoint_helps(tmp_path):
    save_steps(tmp_path, [1, 2])
    (tmp_path / "checkpoints" / "ckpt-2.data-00000-of-00001").unlink()
    with pytest.raises(UserError) as error:
        Checkpoints(str(tmp_path), Model()).restore()
    path, text = str(error.value).split("make the text of ")[1].split(": ", 1)
    pathlib.Path(path).write_text(text)
    assert Checkpoints(str(tmp_path), Model()).restore() == 1


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


def test_leftovers_of_a_kill_are_in_no_ones_way(tmp_path):
    save_steps(tmp_path, [1])
    half = tmp_path / "checkpoints" / "ckpt-2_temp"
    half.mkdir()
    (half / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    (tmp_path / "checkpoints" / "ckpt-2.data-00000-of-00001").write_bytes(b"no index yet")
    assert Checkpoints(str(tmp_path), Model()).restore() == 1
    save_steps(tmp_path, [2])
    assert Checkpoints(str(tmp_path), Model()).restore() == 2


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
    assert len(names) == 2 + sum(
        len(network.weights)
        for network in (*model.networks.values(), model.average.encoder, model.average.decoder)
    )  # the 2 are the step and a counter of TensorFlow's own
