"""What the command refuses before it opens anything."""

import re

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from tests.commands import run, start


def explore(*arguments):
    """Exit code, stdout and stderr of the command."""
    return run("explore", *arguments)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "--run_dir=: no such folder"),
        (("--run_dir=.", "--target=localhost:8500"), "expected --run_dir or --target"),
        (("--target=localhost:8500", "--checkpoint=best"), "--checkpoint with --target, which has"),
        (("--run_dir=.", "--model=x"), "--model with --run_dir, which has no use for it"),
        (("--target=localhost:8500", "--port=-1"), "--port=-1: expected 1 to 65535, or 0"),
        (("--run_dir=.", "--device=gpu:99"), "--device=gpu:99: expected auto"),
    ],
)
def test_wrong_usage_is_one_line(arguments, words):
    code, out, err = explore(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1 and words in err


def test_nothing_is_left_when_it_ends(run_dir, tmp_path):
    """Behind a proxy that answers nobody, ended as a supervisor does it."""
    others = {"HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    process = start("explore", f"--run_dir={run_dir}", "--port=0", TMPDIR=str(tmp_path), **others)
    address = re.search("at (http://.*/) ", process.stdout.readline())[1]
    Image.new("L", (16, 16)).save(tmp_path / "mine.png")
    Client(address, verbose=False).predict(handle_file(tmp_path / "mine.png"), api_name="/choose")
    assert len(list(tmp_path.iterdir())) > 1
    process.terminate()
    assert (process.wait(60), process.communicate()[1]) == (143, "")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
