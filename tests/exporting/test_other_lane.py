"""Run folders and exports of one lane work in the other (BUILD.md, "The stack, and why").

HALI_TF_OTHER_LANE_PYTHON names the Python of an environment of the other lane.
"""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.exporting.other_lane import outputs
from tests.exporting.test_export import HERE, requests  # noqa: F401  (a fixture)

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def other():
    """Runs a Python script or module with the Python of the other lane."""
    python = os.environ.get("HALI_TF_OTHER_LANE_PYTHON")
    if not python:
        pytest.skip("NOT TESTED: HALI_TF_OTHER_LANE_PYTHON names no Python of the other lane")

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [os.path.abspath(python), *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return run


def assert_near(theirs, ours):
    """Latents within 1e-3, pixels within 1 of 255."""
    assert set(theirs) == set(ours)
    for name, value in ours.items():
        tolerance = 1 if value.dtype == np.uint8 else 1e-3
        difference = np.abs(theirs[name].astype(float) - value.astype(float))
        assert difference.max() <= tolerance, name


def test_the_other_lane_opens_our_run(other, run_dir, tmp_path):
    other("-m", "tests.exporting.other_lane", "use", run_dir, tmp_path / "theirs.npz")
    with np.load(tmp_path / "theirs.npz") as theirs:
        assert_near(dict(theirs), outputs(run_dir))


def test_we_open_a_run_of_the_other_lane(other, tmp_path):
    run = tmp_path / "run"
    other("-m", "tests.exporting.other_lane", "make", run)
    other("-m", "tests.exporting.other_lane", "use", run, tmp_path / "theirs.npz")
    with np.load(tmp_path / "theirs.npz") as theirs:
        assert_near(dict(theirs), outputs(str(run)))


@pytest.mark.parametrize("exported_by", ["us", "them"])
def test_an_export_answers_alike_in_both_lanes(
    other,
    run_dir,
    version_dir,
    requests,  # noqa: F811
    answers_of,
    exported_by,
    tmp_path,
):
    if exported_by == "them":
        other("-m", "tests.exporting.other_lane", "export", run_dir, tmp_path / "export")
        version_dir = tmp_path / "export" / "1"
    np.savez(tmp_path / "requests.npz", **requests)
    paths = version_dir, tmp_path / "requests.npz", tmp_path / "theirs.npz"
    other(HERE / "bare_session.py", *paths)
    ours = answers_of(version_dir, tmp_path / "requests.npz", tmp_path / "ours.npz")
    with np.load(tmp_path / "theirs.npz") as theirs:
        strings = {name for name in ours if ours[name].dtype.kind == "S"}
        for name in strings:
            np.testing.assert_array_equal(theirs[name], ours[name])
        assert_near(
            {name: theirs[name] for name in theirs.files if name not in strings},
            {name: value for name, value in ours.items() if name not in strings},
        )


@pytest.fixture
def answers_of():
    """Answers of an export in a bare session of this lane."""

    def answers(*paths):
        subprocess.run([sys.executable, HERE / "bare_session.py", *paths], check=True)
        with np.load(paths[-1]) as found:
            return dict(found)

    return answers
