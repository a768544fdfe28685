"""Which runs compare, and what they are called."""

import json
import os
import shutil

import pytest

from hali_tf.errors import UsageError, UserError
from hali_tf.evaluation.subjects import load_subjects
from tests.exporting.runs import make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of small runs by name."""
    folder = tmp_path_factory.mktemp("runs")
    flags = {"hali": {}, "ali": {"model": "ali"}, "rgb": {"channels": 3}}
    return {name: make_run(folder / name, width=0.01, **more) for name, more in flags.items()}


def test_subjects_are_named_by_their_models(runs):
    hali, ali = load_subjects(runs["hali"], [runs["ali"]], "last")
    assert (hali.name, ali.name, ali.slug) == ("HALI", "ALI", "ali")
    assert hali.levels() == [("HALI z_1", 1), ("HALI z_2", 2)]
    assert ali.levels() == [("ALI", 1)]
    assert (hali.run_dir, hali.step, hali.config.model.kind) == (runs["hali"], 0, "hali")


def test_runs_of_one_model_are_told_apart_by_their_folders(runs, tmp_path):
    shutil.copytree(runs["ali"], tmp_path / "b")
    names = [s.name for s in load_subjects(runs["ali"], [f"{tmp_path}/b/", runs["hali"]], "last")]
    assert names == ["ALI ali", "ALI b", "HALI"]
    shutil.copytree(runs["ali"], tmp_path / "ali")
    names = [s.name for s in load_subjects(runs["ali"], [f"{tmp_path}/ali"], "last")]
    assert names == [f"ALI {runs['ali']}", f"ALI {tmp_path}/ali"]


def test_pictures_of_two_runs_have_names_of_their_own(runs, tmp_path):
    for name in ("ali-1", "ali_1"):
        shutil.copytree(runs["ali"], tmp_path / name)
    both = load_subjects(f"{tmp_path}/ali-1", [f"{tmp_path}/ali_1"], "last")
    assert [subject.slug for subject in both] == ["ali_ali-1", "ali_ali_1"]


def test_pictures_of_runs_that_differ_in_capitals_alone_have_names_of_their_own(runs, tmp_path):
    for name in ("a", "A"):
        shutil.copytree(runs["ali"], tmp_path / name)
    both = load_subjects(f"{tmp_path}/a", [f"{tmp_path}/A"], "last")
    assert len({subject.slug for subject in both}) == 2


def test_baseline_on_other_images_is_refused(runs):
    with pytest.raises(UserError, match="channels=3, but .* --channels=1; name runs on the same"):
        load_subjects(runs["hali"], [runs["rgb"]], "last")


def test_baseline_on_another_folder_is_refused(runs, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(runs["ali"], tmp_path / name)
        path = tmp_path / name / "config.json"
        config = {**json.loads(path.read_text()), "data": "folder", "data_dir": f"photos/{name}"}
        path.write_text(json.dumps(config))
    photos = f"{os.getcwd()}/photos"
    with pytest.raises(UserError, match=f"--data_dir={photos}/two, but .* --data_dir={photos}/one"):
        load_subjects(str(tmp_path / "one"), [str(tmp_path / "two")], "last")


@pytest.mark.parametrize("again", ["hali", "ali"])
def test_run_named_twice_is_refused(runs, again):
    with pytest.raises(UsageError, match="named twice, or the run itself"):
        load_subjects(runs["hali"], [runs["ali"], runs[again] + "/."], "last")


def test_baseline_without_a_run_folder_is_refused(runs, tmp_path):
    with pytest.raises(UserError, match="config.json: not found"):
        load_subjects(runs["hali"], [str(tmp_path)], "last")


def test_run_without_a_checkpoint_is_refused(runs):
    with pytest.raises(UserError, match="best: no checkpoint; .* use the last one"):
        load_subjects(runs["hali"], [], "best")


def test_checkpoint_of_another_model_is_refused(runs, tmp_path):
    shutil.copytree(runs["ali"], tmp_path / "run")
    shutil.copy(f"{runs['hali']}/config.json", tmp_path / "run" / "config.json")
    with pytest.raises(UserError, match="of another model than config.json says"):
        load_subjects(str(tmp_path / "run"), [], "last")
