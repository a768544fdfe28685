"""The script that makes the environment."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def test_a_folder_that_is_no_environment_is_not_emptied(tmp_path):
    (tmp_path / "mine").write_text("mine")
    done = subprocess.run(
        ["bash", "-ec", "source scripts/environment.sh; ensure_environment"],
        cwd=ROOT,
        env={**os.environ, "VENV": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "is no environment" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_python_is_found_where_there_is_no_home():
    done = subprocess.run(
        ["bash", "-c", "set -eu; source scripts/environment.sh; find_python"],
        cwd=ROOT,
        env={"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_the_soak_test_says_its_usage_from_any_folder():
    done = subprocess.run(["bash", "soak.sh"], cwd=ROOT / "scripts", capture_output=True, text=True)
    assert done.returncode == 2 and "EXPORT_DIR MINUTES" in done.stderr
