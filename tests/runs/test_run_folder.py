"""What a run folder accepts."""

import json
import subprocess

import numpy as np
import pytest

import hali_tf
from hali_tf.config import Config
from hali_tf.data import Split
from hali_tf.errors import UserError
from hali_tf.runs.history import read_rollbacks, read_starts
from hali_tf.runs.run_folder import (
    check_folder,
    check_images,
    check_parts,
    read_config,
    read_summary,
    record_start,
)


def config_of(folder, **flags):
    return Config.of(run_dir=str(folder), channels=1, precision="float32", **flags).validate()


def images(seed, count=40):
    return Split(np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 1), np.uint8))


def test_other_images_are_refused_wherever_they_lie(tmp_path):
    config = config_of(tmp_path)
    check_images(config, images(0))
    record_start(config, images(0), 1)
    other_folder = config_of(tmp_path, data_dir="elsewhere")
    check_images(other_folder, images(0))
    for other in (images(1), images(0, count=41)):
        with pytest.raises(UserError, match="--data_dir=elsewhere: these are not the training"):
            check_images(other_folder, other)


def test_images_that_another_library_decodes_are_the_same(tmp_path):
    config = config_of(tmp_path)
    record_start(config, images(0), 1)
    near = images(0)
    near.images[:, ::4] ^= 1
    check_images(config, near)


def test_one_other_image_among_a_few_hundred_is_seen(tmp_path):
    config = config_of(tmp_path)
    record_start(config, images(0, count=256), 1)
    for position in (0, 100, 255):
        other = images(0, count=256)
        other.images[position] //= 2
        with pytest.raises(UserError, match="256 in both, but with other pixels"):
            check_images(config, other)


@pytest.mark.parametrize("labels", [np.arange(40) % 7, np.eye(40, 5, dtype=np.uint8)])
def test_other_labels_are_refused(tmp_path, labels):
    """They tell sets apart whose images are alike, wherever in the set they differ."""
    config = config_of(tmp_path)
    record_start(config, Split(images(0).images, labels), 1)
    check_images(config, Split(images(0).images, labels.copy()))
    for other in (labels[::-1], None):
        with pytest.raises(UserError, match="40 in both, but with other labels, or in another"):
            check_images(config, Split(images(0).images, other))


def test_what_an_earlier_version_recorded_is_compared_and_no_more(tmp_path):
    """It recorded the means of 32 images and nothing of labels."""
    config, train = config_of(tmp_path), images(0, count=300)
    few = train.images[np.linspace(0, 299, 32).astype(int)]
    recorded = {"count": 300, "means": few.mean(axis=(1, 2, 3)).round(2).tolist()}
    (tmp_path / "run.json").write_text(json.dumps([{"images": recorded, "replicas": 1}]))
    check_images(config, Split(train.images, np.arange(300)))
    train.images[299] //= 2
    with pytest.raises(UserError, match="300 in both, but with other pixels"):
        check_images(config, train)


def test_run_of_before_without_a_record_of_images_goes_on(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps([{"time": "2026-01-01"}]))
    check_images(config_of(tmp_path), images(0))


def test_another_number_of_devices_is_said(tmp_path, said):
    config = config_of(tmp_path)
    check_parts(config, 2)
    record_start(config, images(0), 2)
    check_parts(config, 2)
    assert said() == ""
    check_parts(config, 1)
    words = said()
    assert "in 2 parts (devices x --accumulate) and continues with 1: its weights will" in words
    assert words.strip().endswith("; --accumulate=2 keeps it")
    record_start(config, images(0), 1)
    check_parts(config, 2)
    assert "in 2, then 1 parts (devices x --accumulate) and continues with 2: its" in said()


def test_micro_batches_take_the_place_of_devices(tmp_path, said):
    record_start(config_of(tmp_path), images(0), 4)
    for accumulate, replicas in ((2, 2), (4, 1)):
        config = check_folder(config_of(tmp_path, accumulate=accumulate))
        check_parts(config, replicas)
    assert said() == ""
    with pytest.raises(UserError, match="--accumulate=2: .* in 4 parts .*would be 2; expected --a"):
        check_parts(check_folder(config_of(tmp_path, accumulate=2)), 1)
    record_start(config_of(tmp_path, accumulate=2), images(0), 2)
    check_parts(check_folder(config_of(tmp_path)), 4)
    assert said() == ""
    with pytest.raises(UserError, match="would be 3; expected --accumulate=2"):
        check_parts(check_folder(config_of(tmp_path)), 3)


@pytest.mark.parametrize("left", ["metrics.jsonl", "summary.json", "checkpoints/ckpt-4.index"])
def test_parts_of_a_run_without_configuration_are_left_alone(tmp_path, left):
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("")
    with pytest.raises(UserError, match="but no config.json"):
        check_folder(config_of(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[{", "{}", "null"])
def test_damaged_record_of_starts_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match="run.json: damaged"):
        read_starts(str(tmp_path))
    (tmp_path / "rollbacks.json").write_text(text)
    with pytest.raises(UserError, match="rollbacks.json: damaged"):
        read_rollbacks(str(tmp_path))


def test_a_record_of_starts_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(UserError, match="run.json: cannot be read .Is a directory"):
        read_starts(str(tmp_path))


def test_a_dry_run_does_not_look_for_a_run_where_it_is_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    config = Config.of(dry_run=True).validate()
    assert check_folder(config) == config


def test_a_run_goes_on_strictly(tmp_path):
    record_start(config_of(tmp_path), images(0), 1)
    assert check_folder(config_of(tmp_path, strict_data=True)).data.strict_data


def test_the_flag_that_names_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match="^--init_from: .*config.json: not found"):
        read_config(str(tmp_path / "typo"), "init_from")


def test_numbers_of_another_step_are_not_taken(tmp_path):
    assert read_summary(str(tmp_path), 5) is None
    (tmp_path / "summary.json").write_text('{"step": 5, "rmse_1": 0.1}')
    assert read_summary(str(tmp_path), 5) == {"step": 5, "rmse_1": 0.1}
    assert read_summary(str(tmp_path), 6) is None
    for damaged in ("{", "[]"):
        (tmp_path / "summary.json").write_text(damaged)
        with pytest.raises(UserError, match="summary.json: damaged"):
            read_summary(str(tmp_path), 5)


def test_a_repository_that_only_surrounds_the_code_is_not_its_commit(tmp_path, monkeypatch):
    (tmp_path / "mine.py").touch()
    (tmp_path / "hali_tf").mkdir()
    (tmp_path / "hali_tf" / "__init__.py").touch()
    for arguments in ("init", "add mine.py", "-c user.name=me -c user.email=me commit -m mine"):
        subprocess.run(["git", *arguments.split()], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(hali_tf, "__file__", str(tmp_path / "hali_tf" / "__init__.py"))
    record_start(config_of(tmp_path / "run"), images(0), 1)
    assert read_starts(str(tmp_path / "run"))[0]["git_commit"] is None
