"""The script that makes the environment."""

import os
import pathlib
import subprocess

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
