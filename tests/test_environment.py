"""The script that makes the environment."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def bash(*arguments, folder=ROOT, **options):
    """A bash that has ended."""
    command = ["bash", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, **options)


def test_a_folder_that_is_no_environment_is_not_emptied(tmp_path):
    (tmp_path / "mine").write_text("mine")
    script = "source scripts/environment.sh; ensure_environment"
    done = bash("-ec", script, env={**os.environ, "VENV": str(tmp_path)})
    assert done.returncode == 1 and "is no environment" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_python_is_found_where_there_is_no_home():
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    script = "set -eu; source scripts/environment.sh; find_python"
    done = bash("-c", script, env={"PATH": path})
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_the_soak_test_says_its_usage_from_any_folder():
    done = bash("soak.sh", folder=ROOT / "scripts")
    assert done.returncode == 2 and "EXPORT_DIR MINUTES" in done.stderr
