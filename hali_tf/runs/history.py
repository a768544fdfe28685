"""What a run folder remembers: its starts, its rollbacks, and so which weights a step has."""

from __future__ import annotations

import os
from typing import Any

from hali_tf import files
from hali_tf.errors import UserError, reason


def read_starts(run_dir: str) -> list[dict[str, Any]]:
    """What run.json holds: a dict for each start of the run, the first one first.

    Raises:
      UserError: it is damaged.
    """
    return _read_list(
        os.path.join(run_dir, "run.json"),
        "what it has of earlier starts is lost: their commands, their versions and which images "
        "they trained on",
    )


def read_rollbacks(run_dir: str) -> list[dict[str, Any]]:
    """What rollbacks.json holds: a dict for each rollback to a checkpoint, the first one first.

    Raises:
      UserError: it is damaged.
    """
    path = os.path.join(run_dir, "rollbacks.json")
    return _read_list(path, "rollbacks are counted from 0 again")


def weights_of(run_dir: str, step: int) -> dict[str, Any]:
    """Which weights of a run these are: its first start, the step, how often it went back before.

    After a rollback the run reaches the same step by other random draws.
    """
    return {
        "began": next((start["time"] for start in read_starts(run_dir)), None),
        "step": step,
        "ways_back": len(read_rollbacks(run_dir)),
    }


def _read_list(path, loss):
    """What a file of JSON holds, [] without it; `loss` says what its removal means."""
    try:
        found = files.read_json(path, missing=[])
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); remove it, and {loss}") from error
    if not isinstance(found, list):
        raise UserError(f"{path}: damaged (no list); remove it, and {loss}")
    return found
