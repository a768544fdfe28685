"""The script that writes the CSV files of docs/celeba64.md."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
NAMES = ["Bald", "Big_Nose"]
ANSWERS = {
    "attributes": {
        "readings": {
            "clean images": {
                "attributes": NAMES,
                "levels": {
                    "HALI z_1": {"balanced": [80.04, 70.0], "plain": [90.0, 60.06]},
                    "Data": {"balanced": [81.0, 71.0], "plain": [91.0, 61.0]},
                },
            },
            "clean and degraded images": {},
        }
    },
    "innovation": {
        "labels": {
            name: {"entry": entry, "correlation": -0.25, "correlation_validation": 0.125}
            for name, entry in zip(NAMES, (5, 60))
        },
        "readings": {
            "clean images": {
                "labels": {
                    name: {
                        "changed": 0.2,
                        "changed_by_other_entries": 0.131,
                        "others_changed": 3.96,
                        "changed_along_axis": 0.6,
                        "changed_along_other_axes": 0.31,
                        "changed_along_random_axes": 0.1,
                    }
                    for name in NAMES
                }
            },
            "clean and degraded images": {},
        },
    },
    "representation": {"attributes": NAMES, "rows": {"HALI z_1": {"balanced": [60.0, 61.26]}}},
}


def write_tables(evaluation, docs):
    return subprocess.run(
        [sys.executable, "scripts/attribute_tables.py", f"--evaluation={evaluation}"]
        + [f"--docs={docs}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_tables_have_a_row_for_each_attribute_and_the_published_numbers(tmp_path):
    for name, answer in ANSWERS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"answer": answer}))
    done = write_tables(tmp_path, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")

    def lines(name):
        return (tmp_path / f"{name}.csv").read_text().splitlines()

    assert lines("attributes_balanced") == [
        'attribute,Data,HALI z_1,"Data, published","VAE, published","ALI, published",'
        '"HALI z_1, published","HALI z_2, published"',
        "Bald,81.0,80.0,77,89,83,94,88",
        "Big Nose,71.0,70.0,69,69,89,90,89",
    ]
    plain = ["attribute,Data,HALI z_1", "Bald,91.0,90.0", "Big Nose,61.0,60.1"]
    assert lines("attributes_plain") == plain
    assert lines("innovation")[1:] == [
        "Bald,5,-0.250,0.125,20,13,4.0,60,31,10",
        "Big Nose,60,-0.250,0.125,20,13,4.0,60,31,10",
    ]
    assert [line.split(",")[:3] for line in lines("representation")[1:]] == [
        ["Bald", "60.0", "75"],
        ["Big Nose", "61.3", "68"],
    ]


def test_innovation_without_a_classifier_is_an_error_of_one_line(tmp_path):
    without = {"labels": {"Bald": {"entry": 5}}}
    for name, answer in {**ANSWERS, "innovation": without}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"answer": answer}))
    done = write_tables(tmp_path, tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "innovation.json is of an older" in done.stderr
    assert not list(tmp_path.glob("*.csv"))


def test_evaluation_without_an_answer_is_an_error_of_one_line(tmp_path):
    done = write_tables(tmp_path, tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "there is no attributes.json" in done.stderr
    assert not list(tmp_path.iterdir())
