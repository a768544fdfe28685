"""Decoded once, found again, never out of date, never half written."""

import concurrent.futures
import errno
import functools
import json
import os
import shutil
import time

import numpy as np
import pytest

from hali_tf.data import cache, images
from hali_tf.data.cache import Job, Record
from hali_tf.errors import UserError


def _job(folder, names, decode=None, labels=None):
    labels = labels if labels is not None else range(len(names))
    return Job(
        title="test train",
        identity={"files": cache.fingerprint(folder, names)},
        records=lambda: [
            Record(str(folder / name), folder / name, label) for name, label in zip(names, labels)
        ],
        count=len(names),
        image_shape=(8, 8, 1),
        decode=decode or functools.partial(images.decode, size=8, channels=1),
    )


@pytest.fixture
def folder(tmp_path, write):
    for number in range(10):
        write(tmp_path / "in" / f"{number}.png", pixels=number * 10)
    return tmp_path / "in"


@pytest.fixture
def names(folder):
    return sorted(os.listdir(folder))


def _never(data):
    raise AssertionError("decoded again")


def test_order_and_labels(folder, names, tmp_path):
    split = cache.load(_job(folder, names), tmp_path / "cache", strict=True)
    assert split.images.shape == (10, 8, 8, 1) and isinstance(split.images, np.memmap)
    assert split.images[:, 0, 0, 0].tolist() == [number * 10 for number in range(10)]
    assert split.labels.dtype == np.int64 and split.labels.tolist() == list(range(10))


def test_more_images_than_are_held_at_once_keep_their_order(folder, tmp_path):
    names = ["3.png", "7.png", "1.png"] * 500
    split = cache.load(_job(folder, names), tmp_path / "cache", strict=True)
    assert split.images[:, 0, 0, 0].tolist() == [30, 70, 10] * 500


def test_a_second_start_decodes_nothing(folder, names, tmp_path):
    first = cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    second = cache.load(_job(folder, names, decode=_never), tmp_path / "cache", strict=False)
    assert (first.images == second.images).all() and (first.labels == second.labels).all()


def test_a_changed_file_is_decoded_again(folder, names, tmp_path, write):
    cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    write(folder / "4.png", pixels=222)
    os.utime(folder / "4.png", ns=(1, 1))
    split = cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    assert split.images[4, 0, 0, 0] == 222


def test_bad_images_are_skipped_counted_and_named(folder, names, tmp_path, caplog):
    (folder / "2.png").write_bytes(b"text")
    (folder / "5.png").unlink()
    for _ in range(2):  # Decoded, then from the cache.
        caplog.clear()
        split = cache.load(_job(folder, names), tmp_path / "cache", strict=False)
        assert split.skipped == 2 and len(split.images) == 8
        assert split.labels.tolist() == [0, 1, 3, 4, 6, 7, 8, 9]
        assert split.images[:, 0, 0, 0].tolist() == [10 * label for label in split.labels]
        (message,) = [record.getMessage() for record in caplog.records]
        assert "skipped 2 of 10" in message and str(folder / "2.png") in message
        assert "No such file" in message


def test_strict_ends_at_the_first_bad_image_also_from_the_cache(folder, names, tmp_path):
    (folder / "2.png").write_bytes(b"text")
    for already_cached in (False, True):
        with pytest.raises(UserError, match="2.png: not an image.*strict_data"):
            cache.load(_job(folder, names), tmp_path / "cache", strict=True)
        if not already_cached:
            cache.load(_job(folder, names), tmp_path / "cache", strict=False)


@pytest.mark.parametrize("bad, fails", [(5, False), (6, True), (10, True)])
def test_more_than_half_bad_is_an_error(folder, names, tmp_path, bad, fails):
    for name in names[:bad]:
        (folder / name).write_bytes(b"")
    if not fails:
        assert cache.load(_job(folder, names), tmp_path / "cache", strict=False).skipped == bad
        return
    with pytest.raises(UserError, match="more than half of the 10 .*0.png: the file is empty"):
        cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_file_that_may_not_be_read_is_a_bad_image(folder, names, tmp_path):
    (folder / "3.png").unlink()
    (folder / "3.png").mkdir()  # Like a file without permission, but for root too.
    split = cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    assert split.skipped == 1 and len(split.images) == 9


def test_attribute_rows_and_no_labels(folder, names, tmp_path):
    rows = list(np.eye(10, dtype=np.uint8))
    split = cache.load(_job(folder, names, labels=rows), tmp_path / "one", strict=False)
    assert split.labels.dtype == np.uint8 and (split.labels == np.eye(10)).all()
    split = cache.load(_job(folder, names, labels=[None] * 10), tmp_path / "two", strict=False)
    assert split.labels is None


def test_too_little_room_is_said_before_decoding(folder, names, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 100))
    with pytest.raises(UserError, match="need .* GiB in .*--cache_dir"):
        cache.load(_job(folder, names, decode=_never), tmp_path / "cache", strict=False)


def test_a_disk_that_fills_up_leaves_nothing_behind(folder, names, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UserError, match="disk is full.*--cache_dir"):
        cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_cache_folder_that_cannot_be_made(folder, names, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be kept there.*--cache_dir"):
        cache.load(_job(folder, names), tmp_path / "file" / "cache", strict=False)


def test_what_a_killed_run_left_is_cleared(folder, names, tmp_path, monkeypatch):
    cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    (entry,) = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    partial = entry.with_name(entry.name + ".partial")
    entry.rename(partial)
    (partial / "entry.json").unlink()
    (partial / "images.uint8").write_bytes(b"half")

    def disk_usage(_):  # full while that is there
        free = 0 if (partial / "images.uint8").exists() else 10**9
        return shutil._ntuple_diskusage(10**9, 10**9 - free, free)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    split = cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    assert len(split.images) == 10 and not partial.exists()


def test_an_entry_cut_short_is_decoded_again(folder, names, tmp_path):
    cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    (file,) = (tmp_path / "cache").glob("*/images.uint8")
    file.write_bytes(file.read_bytes()[:-1])
    assert len(cache.load(_job(folder, names), tmp_path / "cache", strict=False).images) == 10


def test_a_cache_that_is_read_only_serves_what_it_has(folder, names, tmp_path, monkeypatch):
    cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    monkeypatch.setattr(cache, "_alone", None)  # Nothing is locked, so nothing written.
    assert len(cache.load(_job(folder, names), tmp_path / "cache", strict=False).images) == 10


def test_where_nothing_can_be_locked_it_is_said(folder, names, tmp_path, monkeypatch, said):
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(cache.fcntl, "flock", refused)
    assert len(cache.load(_job(folder, names), tmp_path / "cache", strict=False).images) == 10
    assert "cache: cannot be locked" in said() and "No locks available" in said()


def test_a_split_without_images(folder, tmp_path):
    with pytest.raises(UserError, match="test train: has no images"):
        cache.load(_job(folder, []), tmp_path / "cache", strict=False)


def test_two_runs_that_start_at_once_decode_once(folder, names, tmp_path):
    decoded = []

    def decode(data):
        decoded.append(data)
        time.sleep(0.02)
        return images.decode(data, 8, 1)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(
            lambda _: cache.load(_job(folder, names, decode), tmp_path / "cache", strict=True),
            range(2),
        )
    assert len(decoded) == 10 and (first.images == second.images).all()


def test_an_entry_says_what_it_is(folder, names, tmp_path):
    cache.load(_job(folder, names), tmp_path / "cache", strict=False)
    (entry,) = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    stored = json.loads((entry / "entry.json").read_text())
    assert stored["count"] == 10 and stored["identity"]["shape"] == [8, 8, 1]


@pytest.mark.parametrize(
    ("name", "text"), [("labels.npy", None), ("labels.npy", "\x93NUMPY"), ("entry.json", "[]")]
)
def test_an_entry_without_its_labels_is_decoded_again(folder, names, tmp_path, name, text):
    job = _job(folder, names)
    before = cache.load(job, tmp_path / "cache", strict=True)
    (path,) = (tmp_path / "cache").rglob(name)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    again = cache.load(job, tmp_path / "cache", strict=True)
    np.testing.assert_array_equal(again.labels, before.labels)
