"""What all commands share."""

import os
import signal
import subprocess
import sys

import pytest

_SIGNAL = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)"


@pytest.mark.parametrize(
    "command, imported",
    [
        (["hali_tf.train", "--dry_run"], "absl"),
        (["serving.server"], "absl"),
        (["serving.client", "sample", "--count=1", "--out=a.png"], "grpc"),
    ],
)
def test_stopped_while_it_imports_a_command_has_no_traceback(tmp_path, command, imported):
    (tmp_path / imported).mkdir()
    (tmp_path / imported / "__init__.py").write_text(_SIGNAL)
    path = os.pathsep.join([str(tmp_path), os.getcwd()])
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
        # Tests that run in the background may have been started with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stdout, done.stderr) == (-2, "", "")


def test_what_the_system_refuses_is_one_line(tmp_path):
    """No command expects this here; one line all the same, with the file's name."""
    code = "from hali_tf import command\ncommand.run(lambda: open({!r}), 'words')"
    done = subprocess.run(
        [sys.executable, "-c", code.format(str(tmp_path))], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, f"hali_tf: {tmp_path}: Is a directory\n")


def test_a_terminal_without_a_letter_shows_its_number():
    script = """
from hali_tf import command
command.run(lambda: print("Fr\\u00e9chet"), "")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "koi8-r"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Fr\\xe9chet\n", "")


def test_a_tilde_in_a_flag_or_a_flagfile_is_the_home_folder(tmp_path):
    script = """
from absl import flags
from hali_tf import command
names = ("data_dir", "baselines", "data")
for name in names:
    flags.DEFINE_string(name, "", "")
command.run(lambda: print([flags.FLAGS[name].value for name in names]), "")
"""
    (tmp_path / "some.cfg").write_text("--data_dir=~/faces\n--data=a~b\n")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            script,
            f"--flagfile={tmp_path / 'some.cfg'}",
            "--baselines=runs/hali,~/ali, ~/vae",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": "/home/someone"},
    )
    values = ["/home/someone/faces", "runs/hali,/home/someone/ali,/home/someone/vae", "a~b"]
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{values}\n", "")
