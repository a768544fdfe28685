"""The script that makes the environment."""

import os
import pathlib
import subprocess
import sys

import pytest

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


def write_python(path, version, supported=True):
    """A command that answers as a Python of a version does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answers = (
        f'[ "$1" = --version ] && echo "Python {version}.1" && exit',
        '[ -z "$2" ] && exit',  # whether it runs at all
        f"echo {version}",  # whether it is supported
        f"exit {0 if supported else 1}",
    )
    path.write_text("\n".join(["#!/bin/sh", *answers]))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("function", ["find_python", "ensure_environment", "check_environment"])
def test_an_unsupported_python_that_is_named_is_an_error(tmp_path, function):
    """No other is taken in its place, and no environment made."""
    python = write_python(tmp_path / "python", "3.7", supported=False)
    venv = tmp_path / "venv"
    if function == "check_environment":
        write_python(venv / "bin" / "python", "3.12")
    environment = {**os.environ, "VENV": str(venv), "PYTHON": python, "PIP_NO_INDEX": "1"}
    done = bash("-ec", f"source scripts/environment.sh; {function}", env=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"hali_tf: PYTHON={python}: expected a Python 3.9 to 3.13 with its venv module, "
        "found: Python 3.7.1\n"
    )
    assert venv.exists() == (function == "check_environment")


@pytest.mark.parametrize("text", [None, "#!/bin/sh\nexit 3\n", "#!/bin/sh\necho hello\n"])
def test_what_is_named_and_is_no_python_is_an_error(tmp_path, text):
    path = tmp_path / "python"
    if text is not None:
        path.write_text(text)
        path.chmod(0o755)
    done = bash(
        "-ec", "source scripts/environment.sh; find_python", env={**os.environ, "PYTHON": str(path)}
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hali_tf: PYTHON={path}: expected a Python 3.9 to 3.13")


def with_environment(venv, function, **variables):
    """What a function of the script says where `venv` is the environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    script = f"source scripts/environment.sh; {function}"
    return bash("-ec", script, env={**environment, "VENV": str(venv), **variables})


def test_an_environment_of_another_python_is_not_used(tmp_path):
    python = write_python(tmp_path / "python", "3.11")
    write_python(tmp_path / "venv" / "bin" / "python", "3.12")
    done = with_environment(tmp_path / "venv", "ensure_environment", PYTHON=python)
    assert done.returncode == 1
    assert done.stderr == (
        f"hali_tf: {tmp_path}/venv has Python 3.12, but PYTHON={python} is 3.11; "
        f"remove {tmp_path}/venv, or name another folder: VENV=.venv-3.11\n"
    )
    write_python(tmp_path / "python", "3.12")
    for variables in ({"PYTHON": python}, {}):
        done = with_environment(tmp_path / "venv", "check_environment", **variables)
        assert (done.returncode, done.stderr) == (0, "")
    write_python(tmp_path / "venv" / "bin" / "python", "3.7", supported=False)
    done = with_environment(tmp_path / "venv", "ensure_environment")
    assert done.returncode == 1
    assert f"{tmp_path}/venv has Python 3.7.1, expected 3.9 to 3.13; remove" in done.stderr


def test_the_soak_test_says_its_usage_from_any_folder():
    done = bash("soak.sh", folder=ROOT / "scripts")
    assert done.returncode == 2 and "EXPORT_DIR MINUTES" in done.stderr
