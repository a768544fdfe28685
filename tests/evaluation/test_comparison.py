"""Runs side by side, from folders made by hand."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from hali_tf.config import Config
from hali_tf.errors import UserError
from hali_tf.evaluation import comparison
from hali_tf.measures import features, inception
from tests.commands import run

SHAPE = {"data": "digits", "image_size": 16, "channels": 1, "architecture": "hali16"}


def make_run(folder, level, last_step=3, **flags):
    """A run whose error of level 1 at the end is `level`, beside what else a training writes."""
    folder.mkdir(parents=True)
    config = Config.of(run_dir=str(folder), **{**SHAPE, **flags})
    (folder / "config.json").write_text(config.to_json())
    lines = [
        {"step": step, "d_loss": level * step, "g_loss": 1.0, "sigma_1": 0.5}
        for step in range(1, last_step + 1)
    ]
    evaluated = {"rmse_1": 0.1, "ratio_1": level, "perceptual_1": 3.0, "perceptual_pairs": 6.0}
    lines.append({"step": last_step, **evaluated})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "summary.json").write_text(json.dumps({"step": last_step, "ratio_1": level}))
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    return [
        make_run(tmp_path / "wide_seed0", 0.25, seed=0),
        make_run(tmp_path / "narrow", 0.5, width=0.5),
        make_run(tmp_path / "wide_seed1", 0.75, seed=1, last_step=2),
    ]


def rows_of(page, heading):
    """Cells of the rows of the table below a heading."""
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_runs_that_differ_in_the_seed_are_one_row_with_their_range(runs, tmp_path):
    comparison.compare(runs)
    page = (tmp_path / "comparison" / "report.md").read_text(encoding="utf-8")
    head, _, *rows = rows_of(page, "At the end")
    assert head == ["", "error, level 1", "distance, level 1"]
    assert rows == [
        ["wide, 2 seeds", "0.5000 [0.2500, 0.7500]", "0.5000 [0.5000, 0.5000]"],
        ["narrow", "0.5000", "0.5000"],
    ]
    head, _, *rows = rows_of(page, "The runs")
    assert sorted(head) == sorted(["", "run", "--width", "--seed", "step"])
    assert [row[1] for row in rows] == [runs[0], runs[2], runs[1]]
    assert [row[-1] for row in rows] == ["3", "2", "3"]


def test_panels_have_the_steps_that_all_seeds_have(runs):
    groups = comparison._grouped([comparison._open(run) for run in runs])
    panels = comparison._panels(groups)
    assert list(panels) == [
        "d_loss",
        "g_loss",
        "error / random pairs, level 1",
        "distance / random pairs, level 1",
    ]
    wide = panels["d_loss"]["wide, 2 seeds"]
    assert wide.x == [1, 2]
    np.testing.assert_array_equal(wide.y, [[0.25, 0.5], [0.75, 1.5]])
    assert panels["d_loss"]["narrow"].x == [1, 2, 3]
    assert panels["error / random pairs, level 1"]["wide, 2 seeds"].x == []  # at other steps


def test_samples_are_compared_where_every_seed_was_evaluated(runs, tmp_path):
    answer = {
        "asked_of": {"subjects": [{"name": "HALI", "step": 3, "began": None, "ways_back": 0}]},
        "answer": {
            "images": 1000,
            "features": features.NAME,
            "rows": {"HALI": {"frechet_distance": 1.5}},
        },
    }
    for name in runs:  # the last one was trained for 2 steps: this is of another training
        (tmp_path / name / "evaluation").mkdir()
        (tmp_path / name / "evaluation" / "samples.json").write_text(json.dumps(answer))
    comparison.compare(runs)
    page = (tmp_path / "comparison" / "report.md").read_text(encoding="utf-8")
    head, _, wide, narrow = rows_of(page, "At the end")
    assert head[-1] == "Fréchet distance of 1,000 samples"
    assert (wide[-1], narrow[-1]) == ("–", "1.500")
    answer["answer"]["features"] = inception.NAME
    (tmp_path / runs[0] / "evaluation" / "samples.json").write_text(json.dumps(answer))
    comparison.compare(runs[:2])
    page = (tmp_path / "comparison" / "report.md").read_text(encoding="utf-8")
    head, _, wide, narrow = rows_of(page, "At the end")
    assert head[-2:] == ["Fréchet distance of 1,000 samples", "FID of 1,000 samples"]
    assert (wide[-2:], narrow[-2:]) == (["–", "1.500"], ["1.500", "–"])
    (tmp_path / runs[0] / "rollbacks.json").write_text('[{"at": 3, "to": 2}]')
    assert not [n for n in comparison._open(runs[0]).final if "samples" in n]  # of other weights


def evaluated(run, distance, **asked_of):
    """Writes the answer of an evaluation of a run's samples."""
    subject = {"name": "HALI", "step": 3, "began": None, "ways_back": 0}
    rows = {"HALI": {"frechet_distance": distance}}
    known = {"hali_tf": "1", "code": "a", "images": [{"count": 9}], "feature_weights": None}
    file = {
        "asked_of": {**known, "subjects": [subject], **asked_of},
        "answer": {"images": 1000, "features": features.NAME, "rows": rows},
    }
    os.makedirs(os.path.join(run, "evaluation"), exist_ok=True)
    with open(os.path.join(run, "evaluation", "samples.json"), "w", encoding="utf-8") as f:
        json.dump(file, f)


@pytest.mark.parametrize(
    "other, words",
    [
        ({"code": "b"}, "the code of the measures"),
        ({"images": [{"count": 8}]}, "the images"),
        ({"feature_weights": ["f", 1, 1]}, "the file of `--feature_weights`"),
        ({"hali_tf": "2", "code": "b"}, "the version of hali_tf, the code of the measures"),
        ({"limit": 5}, ""),  # the number of images says it
    ],
)
def test_samples_measured_in_different_ways_are_not_compared(tmp_path, other, words):
    runs = [make_run(tmp_path / name, 0.5, width=w) for w, name in enumerate("abc", 1)]
    evaluated(runs[0], 1.5)
    evaluated(runs[2], 2.5, **other)
    comparison.compare(runs)
    page = (tmp_path / "comparison" / "report.md").read_text(encoding="utf-8")
    head, _, *rows = rows_of(page, "At the end")
    assert head[-1] == "Fréchet distance of 1,000 samples"
    assert [row[-1] for row in rows] == (["–"] * 3 if words else ["1.500", "–", "2.500"])
    assert [row[1] for row in rows] == ["0.5000"] * 3  # what the trainings measured stays
    note = f"not compared, since the evaluations of {runs[0]}, {runs[2]} differ in {words}. "
    assert (note in page.replace("\n", " ")) == bool(words)


@pytest.mark.parametrize("text", ["{", "[]", '{"answer": {}}'])
def test_a_damaged_file_is_named(runs, tmp_path, text):
    (tmp_path / runs[1] / "evaluation").mkdir()
    (tmp_path / runs[1] / "evaluation" / "samples.json").write_text(text)
    if text == "[]":
        (tmp_path / runs[1] / "summary.json").write_text(text)
    with pytest.raises(UserError, match="narrow: summary.json, .* is damaged"):
        comparison.compare(runs)


def test_numbers_of_an_earlier_end_are_left_out(tmp_path):
    run = make_run(tmp_path / "run", 0.5)
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:  # trained further, and stopped
        file.write('{"step": 4, "d_loss": 2.0}\n')
    assert list(comparison._open(run).final) == ["distance, level 1"]


def test_a_file_that_cannot_be_read_is_named(runs, tmp_path):
    os.remove(tmp_path / runs[1] / "summary.json")
    os.mkdir(tmp_path / runs[1] / "summary.json")
    with pytest.raises(UserError, match="--compare: .*narrow/summary.json: cannot be read"):
        comparison.compare(runs)


def test_groups_of_equal_names_are_told_apart_by_their_folders(tmp_path):
    runs = [make_run(tmp_path / name / "run", 0.5, width=w) for name, w in (("a", 1.0), ("b", 2.0))]
    assert list(comparison._grouped([comparison._open(run) for run in runs])) == runs


def test_run_without_measurements_has_dashes_and_no_curves(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        config = Config.of(run_dir=name, **SHAPE, seed=ord(name))
        (tmp_path / name / "config.json").write_text(config.to_json())
    comparison.compare([str(tmp_path / name) for name in ("a", "b")])
    assert sorted(path.name for path in (tmp_path / "comparison").iterdir()) == [
        "report.html",
        "report.md",
    ]


def test_command_writes_page_and_figure_beside_the_first_run(runs, tmp_path):
    code, out, err = run("evaluate", f"--compare={','.join(runs)}")
    assert (code, err) == (0, "")
    folder = tmp_path / "comparison"
    assert out == f"the comparison: {folder / 'report.html'}, or report.md beside it\n"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "wide, 2 seeds" in page and page.count('src="data:image/png;base64,') == 1
    with Image.open(folder / "curves.png") as picture:
        assert picture.width > 1000


def test_wrong_usage_is_one_line(runs):
    for flags, words in (
        ([f"--compare={runs[0]}"], "expected two or more different folders"),
        ([f"--compare={runs[0]},{runs[0]}/"], "expected two or more different folders"),
        ([f"--compare={','.join(runs)}", "--limit=3"], "--limit with --compare"),
        ([f"--compare={','.join(runs)}", "--lpips_weights=x"], "--lpips_weights with --compare"),
    ):
        code, out, err = run("evaluate", *flags)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert words in err


def test_other_images_and_folders_that_are_no_runs_are_refused(runs, tmp_path):
    other = make_run(tmp_path / "colour", 0.5, channels=3)
    size = "--data=digits --image_size=16"
    words = f"colour has {size} --channels=3, .* has {size} --channels=1; name runs on"
    with pytest.raises(UserError, match=words):
        comparison.compare([runs[0], other])
    photos = [
        make_run(tmp_path / name, 0.5, data="npz", data_dir=f"{name}.npz", seed=seed)
        for seed, name in enumerate("ab")
    ]
    here = os.getcwd()
    words = f"b has .* --data_dir={here}/b.npz, .* --data_dir={here}/a.npz; name runs on"
    with pytest.raises(UserError, match=words):
        comparison.compare(photos)
    with pytest.raises(UserError, match="none/config.json: not found"):
        comparison.compare([runs[0], str(tmp_path / "none")])
