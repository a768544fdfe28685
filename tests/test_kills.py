"""scripts/kills.py, which kills trainings and exports and looks at what is left."""

import pathlib
import re
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "kills.py"


@pytest.mark.slow
def test_nothing_is_lost_by_kills():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills=4", "--seed=1"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert sum(map(int, re.findall(r"\| (\d+) \| nothing \|", done.stdout))) == 4
