"""The lock of a run folder."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from hali_tf import files
from hali_tf.errors import UserError
from hali_tf.runs import lock
from hali_tf.runs.lock import locked

OTHER = """
import sys
from hali_tf.runs.lock import locked
with locked(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A process that has locked the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_second_training_in_a_folder_is_refused_and_told_of_the_first(tmp_path, other):
    with pytest.raises(UserError, match=f"process {other.pid} on .* works in this folder"):
        with locked(str(tmp_path)):
            pass
    other.kill()
    other.wait()
    with locked(str(tmp_path)):
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text()
    with locked(str(tmp_path)):
        pass


@pytest.mark.parametrize("name", ["run", "run[1]"])
def test_what_a_kill_left_half_written_is_removed(tmp_path, name):
    folder = tmp_path / name
    for left in ("run.json.12.tmp", "figures/samples.png.12.tmp", "checkpoints/checkpoint.12.tmp"):
        (folder / left).parent.mkdir(parents=True, exist_ok=True)
        (folder / left).write_text("half")
    (folder / "figures" / "samples.png").write_text("whole")
    (folder / "notes.old.tmp").write_text("mine")
    with locked(str(folder)):
        files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert files == {"samples.png", "notes.old.tmp", "lock"}


@pytest.fixture
def hurried(monkeypatch):
    """Signs of life come often."""
    monkeypatch.setattr(lock, "_SECONDS", 0.05)


def test_on_a_store_a_second_training_is_refused_while_the_first_lives(monkeypatch):
    monkeypatch.setattr(lock, "_SECONDS", 2)  # a thread that is held up must not look dead
    with locked("ram://locks/one"):
        with pytest.raises(UserError, match=f"process {os.getpid()} on .* works in this folder"):
            with locked("ram://locks/one"):
                pass
        assert files.exists("ram://locks/one/lock")
    assert not files.exists("ram://locks/one/lock")


def test_on_a_store_what_a_kill_left_locked_is_taken_over(hurried):
    files.write_text("ram://locks/two/lock", "process 1 on elsewhere, token, 0")
    with locked("ram://locks/two"):
        with files.opened("ram://locks/two/lock") as file:
            assert file.read().startswith(f"process {os.getpid()} on")


def test_on_a_store_a_training_ends_when_another_has_taken_its_folder(hurried):
    asked = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        with locked("ram://locks/three"):
            while not asked.is_set():  # a sign may come between reading and writing
                files.write_text("ram://locks/three/lock", "process 1 on elsewhere, token, 0")
                asked.wait(0.2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert files.exists("ram://locks/three/lock")  # that of the other


def test_a_full_disk_is_one_line(tmp_path):
    (tmp_path / "lock").symlink_to("/dev/full")
    with pytest.raises(UserError, match=f"--out={tmp_path}: cannot be written"):
        with locked(str(tmp_path), "out"):
            pass
