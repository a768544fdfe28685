"""One process at a time trains in a run folder."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import platform
from collections.abc import Iterator

from absl import logging

from hali_tf.errors import UserError


@contextlib.contextmanager
def locked(run_dir: str) -> Iterator[None]:
    """Makes the folder and keeps other trainings out of it; the system unlocks after any end.

    What a training that was killed left half written (`files.replacing`) is removed.

    Raises:
      UserError: another process trains in it, or it cannot be written.
    """
    try:
        os.makedirs(run_dir, exist_ok=True)
        file = open(os.path.join(run_dir, "lock"), "a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--run_dir={run_dir}: cannot be written ({error})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(
                f"--run_dir={run_dir}: {file.read() or 'another process'} trains in this folder; "
                "wait for it or stop it, or name another folder"
            ) from error
        except OSError as error:  # some network disks have no locks
            logging.warning("%s: cannot be locked (%s); train in it only once", run_dir, error)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        for folder in ("", "checkpoints", "checkpoints/best", "figures", "logs"):
            for path in glob.glob(os.path.join(glob.escape(run_dir), folder, "*.*.tmp")):
                os.remove(path)
        yield
