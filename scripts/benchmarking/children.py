"""Jobs in processes of their own."""

from __future__ import annotations

import json
import pathlib
import subprocess
from typing import Any

from hali_tf.errors import UserError

_ROOT = pathlib.Path(__file__).parents[2]


def result_of(command: list[str], job: dict[str, Any], name: str) -> Any:
    """Runs a command with a job as JSON behind it, in the checkout; returns what it prints last.

    Args:
      command: a program and its arguments; the job is added to the last.
      job: what it is to do.
      name: of the job, for errors.

    Raises:
      UserError: the process failed; with its last line.
    """
    *program, last = command
    ran = subprocess.run(
        [*program, last + json.dumps(job)], capture_output=True, text=True, cwd=_ROOT
    )
    if ran.returncode != 0:
        words = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{name}: exit code {ran.returncode}: {words.removeprefix('hali_tf: ')}")
    return json.loads(ran.stdout.strip().splitlines()[-1])
