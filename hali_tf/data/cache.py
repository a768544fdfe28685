"""Decodes a split once, in parallel, into a file that later runs map into memory.

An entry is a folder `NAME-SPLIT-DIGEST` with
- `images.uint8`: the images [N, H, W, C], one after the other;
- `labels.npy`: their labels, if the set has any;
- `entry.json`: N, the images that were skipped and why, and everything the digest was made of.
The digest covers whatever decides the content (format, set, split, size, and each file's name,
size and time of change, or the tensorflow-datasets version), so an entry is never out of date. An
entry is written under another name and renamed: it is there as a whole or not at all. It takes no
memory but the system's file cache, whatever the size of the set.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import fcntl
import functools
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator
from typing import Callable

import numpy as np
from absl import logging

from hali_tf import files
from hali_tf.data import images
from hali_tf.data.source import Split
from hali_tf.errors import BadImage, UserError, reason
from hali_tf.progress import progress_bar

_FORMAT = 2  # of entries, and of what `images.decode` makes of a file
_GROUP, _GROUPS_AT_ONCE = 32, 32
_LOOKS = 64


@dataclasses.dataclass(frozen=True)
class Record:
    """One image as it is stored.

    Attributes:
      name: What a message calls it: its path, or its place in a set.
      data: The bytes of the file, or where to read them.
      label: A class number, a uint8 row [A] of attributes, or None.
    """

    name: str
    data: bytes | pathlib.Path
    label: None | int | np.ndarray = None


@dataclasses.dataclass(frozen=True)
class Job:
    """A split to decode.

    Attributes:
      title: Short name of set and split, for messages and the entry's name.
      identity: JSON values that decide the content: equal identity, equal images.
      records: Yields the records in order; called only if the split is not in the cache.
      count: How many records there are.
      image_shape: (H, W, C).
      decode: From a file's bytes to uint8 [H, W, C]; raises BadImage.
      remote: Whether reading a record means waiting for a network.
    """

    title: str
    identity: dict
    records: Callable[[], Iterable[Record]]
    count: int
    image_shape: tuple[int, int, int]
    decode: Callable[[bytes], np.ndarray]
    remote: bool = False


def load(job: Job, cache_dir: pathlib.Path, strict: bool) -> Split:
    """Opens a split from the cache, decoding it first if it is not there.

    Args:
      job: What to decode.
      cache_dir: Folder of all entries; made if missing.
      strict: Whether one bad image is an error.

    Returns:
      The split, its images memory-mapped, read-only.

    Raises:
      UserError: If the disk is too small or not writable, if more than half of the images are
        bad, or with `strict` any.
    """
    identity = {**job.identity, "format": _FORMAT, "shape": list(job.image_shape)}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    entry = cache_dir / f"{re.sub('[^A-Za-z0-9_]+', '-', job.title)}-{digest}"
    try:
        if not _is_complete(job, entry):
            cache_dir.mkdir(parents=True, exist_ok=True)
            with _alone(entry):
                if not _is_complete(job, entry):
                    _build(job, entry, identity, strict)
    except OSError as error:
        raise UserError(_disk_message(cache_dir, error)) from error
    return _open(job, entry, strict)


def fingerprint(folder: pathlib.Path, names: Iterable[str]) -> str:
    """Digests names, sizes and times of change: if the digest differs, the content may.

    Of remote files, sizes and times of 64 evenly spread ones count.
    """
    digest = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape"))
    names = list(names)
    # A look at a remote file is a request: of many, evenly spread ones are looked at.
    every = -(-len(names) // _LOOKS)
    for number, name in enumerate(names):
        path = name if files.scheme(name) else os.path.join(folder, name)
        line = f"{name}\n"
        if number % every == 0 or not files.scheme(path):
            try:
                size, changed = files.status(path)
                line = f"{name}\0{size}\0{changed}\n"
            except OSError:  # Decoding will name it.
                line = f"{name}\0unreadable\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@contextlib.contextmanager
def _alone(entry: pathlib.Path) -> Iterator[None]:
    """Lets one process at a time build an entry; the others wait and then find it."""
    with open(f"{entry}.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:  # as some network disks
            logging.warning(
                "%s: cannot be locked (%s); start one command at a time that decodes into it",
                entry.parent,
                error,
            )
        yield


def _is_complete(job: Job, entry: pathlib.Path) -> bool:
    """Returns whether an entry is there, its images and labels as many as there should be."""
    labels = entry / "labels.npy"
    try:
        stored = json.loads((entry / "entry.json").read_text())
        count = stored["count"]
        size = (entry / "images.uint8").stat().st_size
        # Entries of version 0.1.0 do not say whether there are labels.
        if stored.get("labels", labels.is_file()) and len(np.load(labels, mmap_mode="r")) != count:
            return False
    except (*files.DAMAGE, KeyError, TypeError):
        return False
    return size == count * int(np.prod(job.image_shape))


def _build(job: Job, entry: pathlib.Path, identity: dict, strict: bool) -> None:
    """Decodes all records into a folder beside the entry, then renames it."""
    shutil.rmtree(entry, ignore_errors=True)
    with files.workplace(f"{entry}.partial") as folder:  # without what a killed run left in it
        _check_free_space(job, entry.parent)
        labels, bad = _write_images(job, folder, strict)
        if labels[0] is not None:
            dtype = np.uint8 if isinstance(labels[0], np.ndarray) else np.int64
            np.save(os.path.join(folder, "labels.npy"), np.asarray(labels, dtype=dtype))
        stored = {"count": len(labels), "labels": labels[0] is not None, "bad": bad}
        files.write_json(os.path.join(folder, "entry.json"), {**stored, "identity": identity})
        files.put_folder(folder, entry, last="entry.json")


def _write_images(job: Job, folder: str, strict: bool) -> tuple[list, list[tuple[str, str]]]:
    """Writes the images that can be used; returns their labels, and (name, why) of the others."""
    labels: list = []
    bad: list[tuple[str, str]] = []
    with open(os.path.join(folder, "images.uint8"), "wb") as file:
        for record, image in _decoded(job):
            if isinstance(image, BadImage):
                bad.append((record.name, str(image)))
                _check_bad(job, bad, strict)
                continue
            file.write(image.tobytes())
            labels.append(record.label)
    if not labels:
        raise UserError(f"{job.title}: has no images")
    return labels, bad


def _decoded(job: Job) -> Iterator[tuple[Record, np.ndarray | BadImage]]:
    """Yields each record with its image, or with the reason why there is none, in order."""
    records = iter(job.records())
    groups = iter(lambda: list(itertools.islice(records, _GROUP)), [])
    # Threads suffice: Pillow decodes and resizes without the interpreter lock. They take groups,
    # since handing over a small image costs as much as decoding it.
    threads = 32 if job.remote else min(32, os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        # The bar shows, with the time left, once decoding takes longer than a moment.
        with progress_bar(
            words=f"decoding {job.title}",
            total=job.count,
            unit=" images",
            delay=5,
            unit_scale=True,
            mininterval=1,
        ) as bar:
            # A few groups at a time, so that a million records never wait in memory at once.
            for few in iter(lambda: list(itertools.islice(groups, _GROUPS_AT_ONCE)), []):
                for group, decoded in zip(few, pool.map(functools.partial(_decode, job), few)):
                    yield from zip(group, decoded)
                    bar.update(len(group))


def _decode(job: Job, records: list[Record]) -> list[np.ndarray | BadImage]:
    """Decodes a few records; a bad one becomes the reason why it is bad."""
    decoded: list[np.ndarray | BadImage] = []
    for record in records:
        try:
            data = record.data if isinstance(record.data, bytes) else images.read(record.data)
            decoded.append(job.decode(data))
        except BadImage as bad:
            decoded.append(bad)
    return decoded


def _check_bad(job: Job, bad: list[tuple[str, str]], strict: bool) -> None:
    """Raises if that many bad images are too many."""
    name, why = bad[0]
    if strict:
        raise UserError(
            f"{name}: {why}; repair or remove it, or leave out --strict_data to skip "
            "and count such images"
        )
    if len(bad) * 2 > job.count:
        raise UserError(
            f"{job.title}: more than half of the {job.count} images cannot be used; "
            f"the first is {name}: {why}"
        )


def _open(job: Job, entry: pathlib.Path, strict: bool) -> Split:
    """Maps an entry into memory and reports what it lacks."""
    stored = json.loads((entry / "entry.json").read_text())
    bad = stored["bad"]
    if bad:
        _check_bad(job, bad, strict)
        names = "; ".join(f"{name}: {why}" for name, why in bad[:3])
        logging.warning(
            "%s: skipped %d of %d images (%s%s)",
            job.title,
            len(bad),
            job.count,
            names,
            "; ..." if len(bad) > 3 else "",
        )
    images = np.memmap(
        entry / "images.uint8", np.uint8, "r", shape=(stored["count"], *job.image_shape)
    )
    labels: np.ndarray | None = None
    if (entry / "labels.npy").is_file():
        labels = np.load(entry / "labels.npy")
    return Split(images, labels, skipped=len(bad))


def _check_free_space(job: Job, cache_dir: pathlib.Path) -> None:
    """Raises before hours of work, not after."""
    needed = job.count * int(np.prod(job.image_shape))
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise UserError(
            f"{job.title}: the decoded images need {needed / 2**30:.1f} GiB in "
            f"{cache_dir}, where {free / 2**30:.1f} GiB are free; make room, or name "
            "a folder on a larger disk with --cache_dir"
        )


def _disk_message(cache_dir: pathlib.Path, error: OSError) -> str:
    """Says in one line what went wrong in the cache folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{cache_dir}: the disk is full; make room, or name a folder on a larger disk "
            "with --cache_dir"
        )
    return (
        f"{cache_dir}: decoded images cannot be kept there ({reason(error)}); name "
        "another folder with --cache_dir"
    )
