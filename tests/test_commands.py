"""The commands of the pages run as printed, but for the number of steps."""

import contextlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.test_docs import ROOT, blocks

pytestmark = pytest.mark.slow

# Those with a server, which take the same port, and those that take longest: a process for each.
GROUPS = {
    "server": (
        "README.md",
        "serving/README.md",
        "docs/bulk.md",
        "docs/training.md",
        "CONTRIBUTING.md",
    ),
    "evaluation": ("docs/evaluation.md", "docs/gallery.md"),
}
PAGES = [
    pytest.param(page, marks=pytest.mark.xdist_group(group))
    for group, pages in GROUPS.items()
    for page in pages
]
# What a command needs that is not there: data sets to be downloaded, clusters, stock servers.
ELSEWHERE = re.compile(
    r"mnist|celeba|vgg16|svhn|imagenet|holdout|/shared/|--label=|--ca=|--count=16|load_test|"
    r"hali_tf\.explore"  # runs on; tests/exploring has it
)


def commands(page):
    """Those that can run here, in the page's order."""
    lines = "\n".join(blocks(ROOT / page)).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if _is_ours(line)]


def _is_ours(line):
    return re.match(r"python -m (hali_tf|serving)\.", line) and not ELSEWHERE.search(line)


def shortened(command):
    """With few steps, where it trains."""
    if "hali_tf.train" not in command:
        return command
    return f"{command} --steps={20 if 'digits.cfg' in command else 1}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(a folder with runs and pictures, what starts a command there, what runs it to its end)."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "configs").symlink_to(ROOT / "configs")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(80):
        _picture(rng).save(folder / "photos" / f"{number}.png")
    digits = ("zero.png", "three.png", "four.png", "six.png", "seven.png", "nine.png")
    for name in ("me.jpg", "you.png", *digits):
        _picture(rng).save(folder / name)
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(folder / "hat.png")
    np.savez(folder / "arrays.npz", x_train=rng.integers(0, 256, [80, 32, 32, 3], np.uint8))
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "BROWSER": "true"}

    def start(command):
        words = ["bash", "-c", f"exec {command}"]
        return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=env, cwd=folder)

    def finish(command):
        process = start(command)
        said = process.communicate()[1]
        assert process.returncode == 0, f"{command}\n{said[-2000:]}"

    finish("python -m hali_tf.train --flagfile=configs/digits.cfg --steps=20")
    (folder / "runs" / "faces").symlink_to(folder / "runs" / "digits")
    return folder, start, finish


def _picture(rng):
    return Image.fromarray(rng.integers(0, 256, [64, 64, 3], np.uint8))


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_turn(page, run):
    folder, start, finish = run
    printed = commands(page)
    assert printed
    with contextlib.ExitStack() as stack:
        for command in map(shortened, printed):
            if "serving.server" in command:
                server = stack.enter_context(start(command))
                stack.callback(server.terminate)
                assert any("AVAILABLE" in said for said in server.stderr)
            else:
                finish(command)
            for made in re.findall(r"--(?:out|export_dir)=(\S+)", command):
                assert (folder / made).exists(), command
            if "hali_tf.evaluate --run_dir" in command:
                assert (folder / "runs/digits/evaluation/report.html").exists()
