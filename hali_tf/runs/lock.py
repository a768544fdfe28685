"""One process at a time trains in a run folder, or writes another folder."""

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
from typing import IO, Any

from absl import logging

from hali_tf import files
from hali_tf.errors import UserError, writing

_SECONDS = 20  # between two signs of life in a folder that cannot be locked


@contextlib.contextmanager
def locked(folder: str, flag: str = "run_dir") -> Iterator[None]:
    """Makes the folder and keeps other processes out of it; the system unlocks after any end.

    What a process that was killed left half written (`files.replacing`) is removed. An object store
    has no locks: there the file `lock` names the process that works in it, and is renewed
    while it does.

    Args:
      folder: of a run, or another that a command fills.
      flag: by which the user names it.

    Raises:
      UserError: another process works in it, or it cannot be written.
    """
    own = f"process {os.getpid()} on {platform.node()}"
    if files.scheme(folder):
        with _signed(folder, flag, own):
            yield
        return
    with writing(f"--{flag}={folder}"):
        os.makedirs(folder, exist_ok=True)
        # Without a buffer, which would be written once more as the file is closed.
        file = open(os.path.join(folder, "lock"), "ab+", buffering=0)
    with file:
        if not take(file, folder):
            file.seek(0)
            raise _taken(folder, flag, file.read().decode())
        with writing(f"--{flag}={folder}"):
            for part in ("", "checkpoints", "checkpoints/best", "figures", "logs"):
                for path in glob.glob(os.path.join(glob.escape(folder), part, "*.[0-9]*.tmp")):
                    os.remove(path)
            file.truncate(0)
            file.write(own.encode())
        yield


def take(file: IO[Any], name: str) -> bool:
    """Locks an open file until it is closed; whether no other process has it.

    Args:
      file: open for writing, since NFS locks nothing else for one process alone.
      name: what the user calls it; where a disk has no locks, as some network disks, this is said.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logging.warning("%s: cannot be locked (%s); start one command in it only", name, error)
    return True


def _taken(folder, flag, owner):
    return UserError(
        f"--{flag}={folder}: {owner or 'another process'} works in this folder; "
        "wait for it or stop it, or name another folder"
    )


@contextlib.contextmanager
def _signed(folder, flag, own):
    """Writes `lock` every `_SECONDS` seconds, and removes it at the end."""
    path, own = os.path.join(folder, "lock"), f"{own}, {uuid.uuid4()}, "
    with writing(f"--{flag}={folder}"):
        _wait_for_end(folder, flag, path)
        files.write_text(path, f"{own}{time.time()}")
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


def _wait_for_end(folder, flag, path):
    """Returns once no other process renews the file; that of a killed process is never renewed."""
    signed = _read(path)
    if not signed:
        return
    owner, wait = signed.partition(",")[0], 3 * _SECONDS
    logging.warning("%s: %s worked here; waiting %d s whether it still does", folder, owner, wait)
    time.sleep(wait)
    if _read(path) not in (signed, ""):
        raise _taken(folder, flag, owner)


def _sign(path, own, done):
    while not done.wait(_SECONDS):
        try:
            if not _read(path).startswith(own):
                logging.error("%s: another process works here now; this one ends", path)
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
