"""Files that are written as a whole or not at all."""

import contextlib
import errno
import gc
import io
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from hali_tf import files
from hali_tf.files import replacing


def test_threads_that_write_one_file_at_once_do_not_disturb_each_other(tmp_path):
    path, barrier, errors = tmp_path / "picture.png", threading.Barrier(2, timeout=60), []

    def write():
        try:
            with replacing(path) as partial, open(partial, "w") as file:
                file.write("whole")
                barrier.wait()  # both are writing
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("number, fails", [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_disk_that_cannot_wait_for_a_folder_is_no_error(tmp_path, monkeypatch, number, fails):
    def fsync(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(OSError) if fails else contextlib.nullcontext():
        files.write_through(tmp_path)


@pytest.mark.parametrize("stores", [("gs",), ("file",)], ids=["renamed", "at once"])
def test_a_remote_file_is_replaced_when_its_writer_is_done_and_not_after_an_error(
    tmp_path, monkeypatch, stores
):
    monkeypatch.setattr(files, "_OBJECT_STORES", stores)
    path = f"file://{tmp_path}/folder/run.json"
    files.make_folder(f"file://{tmp_path}/folder")
    files.write_json(path, [1, 2, 3])
    files.write_json(path, [4])
    with pytest.raises(ValueError, match="stop"), files.replacing(path) as partial:
        with open(partial, "w") as file:
            file.write("half")
        raise ValueError("stop")
    assert files.read_json(path) == [4]
    assert files.names(f"file://{tmp_path}/folder") == ["run.json"]


def test_errors_of_a_store_are_those_of_a_disk():
    assert files.read_json("ram://none/run.json", missing=[]) == []
    assert files.names("ram://none") == [] and not files.is_folder("ram://none")
    for fails in (files.remove, files.status):
        with pytest.raises(FileNotFoundError, match="none/run.json"):
            fails("ram://none/run.json")
    with pytest.raises(FileNotFoundError, match="none/run.json"):
        with files.opened("ram://none/run.json") as file:
            file.read()
    with pytest.raises(OSError, match="does not know s3x://"):
        files.check_scheme("s3x://bucket/run")


def test_walk_finds_what_lies_below_a_remote_folder():
    for name in ("1.png", "a/2.png", "a/b.c/3.PNG", "a/notes"):
        files.write_text(f"ram://walk/{name}", "")
    found = set(files.walk("ram://walk", (".png",)))
    assert found == {"1.png", "a/2.png", "a/b.c/3.PNG", "a/notes"}


def test_a_folder_on_a_store_gets_the_file_that_makes_it_whole_last(tmp_path, monkeypatch):
    put, order = files.put, []
    monkeypatch.setattr(files, "put", lambda made, path: (order.append(path), put(made, path)))
    for name in ("whole.pb", "sub/part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files.put_folder(str(tmp_path), "ram://folders/1", last="whole.pb")
    assert order == ["ram://folders/1/sub/part", "ram://folders/1/whole.pb"]
    with files.opened("ram://folders/1/sub/part") as file:
        assert file.read() == "sub/part"


class FullDisk(io.BytesIO):
    """Has room for 1,000 bytes."""

    def write(self, data):
        if self.tell() + len(data) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_an_archive_on_a_full_disk_is_that_error_alone():
    """What is left open would fail once more when it is collected, which fails a test."""
    with pytest.raises(OSError, match="No space left"):
        files.write_npz(FullDisk(), {"a": np.zeros(10_000)})
    gc.collect()


def test_an_archive_is_what_numpy_reads(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array(["x", "yz"])}
    with open(tmp_path / "arrays.npz", "wb") as file:
        files.write_npz(file, arrays)
    with np.load(tmp_path / "arrays.npz") as loaded:
        assert set(loaded) == {"a", "b"}
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array)


def test_local_files_do_not_need_tensorflow(tmp_path):
    code = (
        "import sys; from hali_tf import files; p = sys.argv[1]; files.make_folder(p); "
        "files.write_json(p + '/a', 1); files.read_json(p + '/a'); files.names(p); "
        "files.status(p); files.check_writable(p); files.remove(p + '/a'); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")]).returncode == 0
