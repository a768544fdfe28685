"""Files, on a disk or an object store: written as a whole or not at all.

A path with a scheme, such as gs://bucket/run, is remote: TensorFlow's file systems read and write
it (`tf.io.gfile`), TensorFlow is imported for it alone, and its errors are raised as OSError. All
other paths are local, and go through `os`. What a remote file is to hold is made in a local
temporary file and then copied: an object appears as a whole, and elsewhere it is renamed.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import threading
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    import numpy as np

# What `np.load` and `json.loads` raise of a damaged file, or one that is something else: of an
# encrypted one RuntimeError, of absurd shapes MemoryError.
DAMAGE = (
    OSError, ValueError, EOFError, RuntimeError, MemoryError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip

_OBJECT_STORES = ("gs", "s3", "az")  # what is written there appears, or is replaced, at once


def scheme(path: str | os.PathLike) -> str:
    """Returns "gs" of gs://bucket/run; "" of a local path."""
    name, colon, _ = os.fspath(path).partition("://")
    return name if colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", name) else ""


def check_scheme(path: str | os.PathLike) -> None:
    """Raises OSError if TensorFlow has no file system for a remote path, or cannot reach it."""
    import tensorflow as tf

    own = scheme(path)
    if own not in tf.io.gfile.get_registered_schemes():
        with contextlib.suppress(Exception):  # it may be of another TensorFlow
            importlib.import_module("tensorflow_io")  # registers further ones
    known = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
    if own not in known:
        words = (
            f"TensorFlow {tf.__version__} does not know {own}://, only "
            f"{', '.join(f'{name}://' for name in known)}; pip install tensorflow-io where it has "
            "a release for this TensorFlow, or mount the store as a folder"
        )
        raise OSError(errno.EPROTONOSUPPORT, words, os.fspath(path))
    exists(path)


@contextlib.contextmanager
def _remotely(path: str | os.PathLike) -> Iterator[Any]:
    """Yields `tf.io.gfile`; what TensorFlow raises becomes an OSError."""
    import tensorflow as tf

    try:
        yield tf.io.gfile
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "not found", os.fspath(path)) from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message.partition("\n")[0], os.fspath(path)) from error


def exists(path: str | os.PathLike) -> bool:
    """Returns whether there is such a file or folder."""
    if not scheme(path):
        return os.path.exists(path)
    with _remotely(path) as gfile:
        return gfile.exists(os.fspath(path))


def is_folder(path: str | os.PathLike) -> bool:
    """Returns whether there is such a folder; of an object store, with something in it."""
    if not scheme(path):
        return os.path.isdir(path)
    with _remotely(path) as gfile:
        return gfile.isdir(os.fspath(path))


def is_file(path: str | os.PathLike) -> bool:
    """Returns whether there is such a file."""
    return exists(path) and not is_folder(path) if scheme(path) else os.path.isfile(path)


def names(folder: str | os.PathLike) -> list[str]:
    """Returns the names in a folder, in any order; none if there is no such folder."""
    if not is_folder(folder):
        return []
    return [name.rstrip("/") for name in _listed(folder)] if scheme(folder) else os.listdir(folder)


def _listed(folder):
    """The names in a remote folder; some schemes end those of folders with a slash."""
    with _remotely(folder) as gfile:
        return [name for name in gfile.listdir(os.fspath(folder)) if name.strip("/")]


def walk(root: str | os.PathLike, endings: tuple[str, ...]) -> Iterator[str]:
    """Yields the files below a remote folder by relative name.

    Args:
      root: the folder.
      endings: in lower case; a name with one of them is taken for a file without a request.
    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for name in _listed(os.path.join(root, folder)):
            path = os.path.join(folder, name.rstrip("/"))
            known_file = name.lower().endswith(endings)
            if name.endswith("/") or not known_file and is_folder(os.path.join(root, path)):
                waiting.append(path)
            else:
                yield path


def status(path: str | os.PathLike) -> tuple[int, int]:
    """Returns a file's size in bytes and its time of change in nanoseconds."""
    if not scheme(path):
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns
    with _remotely(path) as gfile:
        found = gfile.stat(os.fspath(path))
        return found.length, found.mtime_nsec


def identity(path: str | os.PathLike) -> list[str | int]:
    """[path, size, time of change] of a file, to tell whether it is the same one as before."""
    return [real_path(path), *status(path)]


def make_folder(path: str | os.PathLike) -> None:
    """Makes a folder and those above it, where they are missing."""
    if not scheme(path):
        return os.makedirs(path, exist_ok=True)
    with _remotely(path) as gfile:
        gfile.makedirs(os.fspath(path))


def remove(path: str | os.PathLike) -> None:
    """Removes a file."""
    if not scheme(path):
        return os.remove(path)
    with _remotely(path) as gfile:
        gfile.remove(os.fspath(path))


def move(path: str | os.PathLike, target: str | os.PathLike) -> None:
    """Moves a file within its disk or store, over one that is there."""
    if not scheme(path):
        return os.replace(path, target)
    with _remotely(path) as gfile:
        gfile.rename(os.fspath(path), os.fspath(target), overwrite=True)


def real_path(path: str | os.PathLike) -> str:
    """Returns the form of a path that two names of one folder share; a local one without links."""
    return os.fspath(path).rstrip("/") if scheme(path) else os.path.realpath(path)


@contextlib.contextmanager
def opened(path: str | os.PathLike, mode: str = "r") -> Iterator[IO[Any]]:
    """Opens a file to be read, in mode "r" as UTF-8 or "rb"."""
    if not scheme(path):
        with open(path, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
    else:
        with _remotely(path) as gfile, gfile.GFile(os.fspath(path), mode) as file:
            yield file


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Yields a temporary local path; what is written to it is at `path` if no error is raised."""
    if scheme(path):
        with workplace(path) as folder:
            partial = os.path.join(folder, "whole")
            yield partial
            put(partial, path)
        return
    partial = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        yield partial
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


@contextlib.contextmanager
def workplace(path: str | os.PathLike) -> Iterator[str]:
    """Yields a new local folder, removed at the end: `path` itself, or a temporary one."""
    if scheme(path):
        with tempfile.TemporaryDirectory(prefix="hali_tf_") as folder:
            yield folder
        return
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    try:
        yield os.fspath(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write_npz(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as `np.savez` does, which leaves its archive open if the disk is full."""
    import numpy as np

    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def put(made: str, path: str | os.PathLike) -> None:
    """Flushes a local file to the disk, then moves it to `path`, replacing any file there."""
    if not scheme(path):
        write_through(made)
        return os.replace(made, path)
    with _remotely(path) as gfile:
        if scheme(path) in _OBJECT_STORES:
            gfile.copy(made, os.fspath(path), overwrite=True)
        else:
            partial = f"{path}.{uuid.uuid4()}.tmp"
            gfile.makedirs(os.path.dirname(path))
            gfile.copy(made, partial)
            gfile.rename(partial, os.fspath(path), overwrite=True)
    os.remove(made)


def put_folder(made: str, path: str | os.PathLike, last: str) -> None:
    """Moves a local folder to `path`: at once when it is on the disk, on an object store by files.

    Args:
      made: the folder.
      path: where nothing is yet.
      last: name of the file in it without which the others are nothing; it comes last.
    """
    if not scheme(path):
        for folder, _, inside in os.walk(made):
            for name in inside:
                write_through(os.path.join(folder, name))
        os.rename(made, path)
        return write_through(os.path.dirname(path) or ".")
    for folder, _, inside in os.walk(made):
        target = os.path.join(path, os.path.relpath(folder, made)) if folder != made else path
        make_folder(target)
        for name in inside:
            if (folder, name) != (made, last):
                put(os.path.join(folder, name), os.path.join(target, name))
    put(os.path.join(made, last), os.path.join(path, last))


def write_through(path: str | os.PathLike) -> None:
    """Waits until a local file or folder is on the disk: a loss of power cannot empty it then.

    Some network and FUSE disks cannot do it for a folder; there is nothing to wait for then.
    """
    if scheme(path):
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(file)


def check_writable(folder: str | os.PathLike) -> None:
    """Raises OSError if no file can be made in a folder; leaves none there."""
    if not scheme(folder):
        return tempfile.TemporaryFile(dir=os.fspath(folder)).close()
    probe = os.path.join(folder, f"writable-{uuid.uuid4()}.tmp")
    write_text(probe, "")
    remove(probe)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path`, and waits until it is on the disk."""
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: str | os.PathLike, missing: Any = None) -> Any:
    """Returns what a file of JSON holds, or `missing` if there is no such file."""
    if not exists(path):
        return missing
    with opened(path) as f:
        return json.load(f)


def to_path(path: str) -> pathlib.Path:
    """Returns a path as an object; a remote one has those methods of it that data sets need."""
    return cast(pathlib.Path, _Remote(path)) if scheme(path) else pathlib.Path(path).expanduser()


class _Remote(pathlib.PurePosixPath):
    """A remote path, as text or with what `pathlib.Path` has for a local one."""

    def __str__(self):
        return super().__str__().replace(":/", "://", 1)

    def __fspath__(self):
        return str(self)

    def is_dir(self):
        return is_folder(self)

    def is_file(self):
        return is_file(self)

    def exists(self):
        return exists(self)

    def iterdir(self):
        return (self / name for name in names(self))

    def glob(self, pattern):
        return (path for path in self.iterdir() if path.match(pattern))

    def read_text(self, encoding):
        with opened(self, "rb") as file:
            return file.read().decode(encoding)

    def resolve(self):
        return self
