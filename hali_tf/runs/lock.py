"""One process at a time trains in a run folder."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Iterator

from absl import logging

from hali_tf import files
from hali_tf.errors import UserError

_SECONDS = 20  # between two signs of life in a folder that cannot be locked


@contextlib.contextmanager
def locked(run_dir: str) -> Iterator[None]:
    """Makes the folder and keeps other trainings out of it; the system unlocks after any end.

    What a training that was killed left half written (`files.replacing`) is removed. An object
    store has no locks: there the file `lock` names who trains, and is written anew while it does.

    Raises:
      UserError: another process trains in it, or it cannot be written.
    """
    own = f"process {os.getpid()} on {platform.node()}"
    if files.scheme(run_dir):
        with _signed(run_dir, own):
            yield
        return
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
            raise _taken(run_dir, file.read()) from error
        except OSError as error:  # some network disks have no locks
            logging.warning("%s: cannot be locked (%s); train in it only once", run_dir, error)
        file.truncate(0)
        file.write(own)
        file.flush()
        for folder in ("", "checkpoints", "checkpoints/best", "figures", "logs"):
            for path in glob.glob(os.path.join(glob.escape(run_dir), folder, "*.*.tmp")):
                os.remove(path)
        yield


def _taken(run_dir, owner):
    return UserError(
        f"--run_dir={run_dir}: {owner or 'another process'} trains in this folder; "
        "wait for it or stop it, or name another folder"
    )


@contextlib.contextmanager
def _signed(run_dir, own):
    """Writes `lock` every `_SECONDS` seconds, and removes it in the end."""
    path, own = os.path.join(run_dir, "lock"), f"{own}, {uuid.uuid4()}, "
    try:
        _wait_for_end(run_dir, path)
        files.write_text(path, f"{own}{time.time()}")
    except OSError as error:
        raise UserError(f"--run_dir={run_dir}: cannot be written ({error})") from error
    done = threading.Event()
    thread = threading.Thread(target=_sign, args=(path, own, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        with contextlib.suppress(OSError):
            if _read(path).startswith(own):
                files.remove(path)


def _wait_for_end(run_dir, path):
    """Returns when nobody signs; a training that was killed has left what nobody writes anew."""
    signed = _read(path)
    if not signed:
        return
    owner, wait = signed.partition(",")[0], 3 * _SECONDS
    logging.warning("%s: %s trained here; waiting %d s whether it still does", run_dir, owner, wait)
    time.sleep(wait)
    if _read(path) not in (signed, ""):
        raise _taken(run_dir, owner)


def _sign(path, own, done):
    while not done.wait(_SECONDS):
        try:
            if not _read(path).startswith(own):
                logging.error("%s: another process trains here now; this one ends", path)
                return signal.raise_signal(signal.SIGTERM)
            files.write_text(path, f"{own}{time.time()}")
        except OSError as error:  # the next time, or the next checkpoint says it
            logging.warning("%s: cannot be written (%s)", path, error)


def _read(path):
    try:
        with files.opened(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""
