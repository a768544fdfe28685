"""What the commands do with a run in a folder that they cannot write to."""

import os
import shutil

import pytest

from tests.commands import run
from tests.exporting.runs import make_run

pytestmark = pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="permissions do not hold for root, and setpriv is not here",
)
# Root without the right to pass over permissions.
PREFIX = ("setpriv", "--bounding-set=-dac_override", "--") if os.geteuid() == 0 else ()


@pytest.fixture(scope="module")
def read_only(tmp_path_factory):
    """Folder of a run that was evaluated."""
    folder = tmp_path_factory.mktemp("read_only") / "run"
    make_run(folder, data="digits", width=0.1)
    (folder / "evaluation").mkdir()
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    yield folder
    for path in folders:
        path.chmod(0o755)


def state(folder):
    return {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "program, flags, made",
    [
        pytest.param(
            "show", ["sample", "--out={}/samples.png"], "samples.png", marks=pytest.mark.slow
        ),
        pytest.param("encode", ["--out={}/latents.npz"], "latents.npz", marks=pytest.mark.slow),
        ("export", ["--export_dir={}", "--classify=false"], "1/saved_model.pb"),
    ],
)
def test_what_is_written_elsewhere_is_made(read_only, tmp_path, program, flags, made):
    before = state(read_only)
    flags = [flag.format(tmp_path) for flag in flags]
    code, _, err = run(program, f"--run_dir={read_only}", *flags, prefix=PREFIX)
    assert code == 0, err
    assert (tmp_path / made).stat().st_size
    assert state(read_only) == before


@pytest.mark.parametrize(
    "program, flags",
    [
        ("evaluate", ["--only=samples", "--limit=100"]),
        pytest.param("show", ["sample", "--out={}/samples.png"], marks=pytest.mark.slow),
        ("train", []),
    ],
)
def test_what_would_be_written_there_is_one_line(read_only, program, flags):
    before = state(read_only)
    flags = [flag.format(read_only) for flag in flags]
    code, _, err = run(program, f"--run_dir={read_only}", *flags, prefix=PREFIX)
    assert code == 1
    assert err.startswith("hali_tf: ") and err.count("\n") == 1 and str(read_only) in err
    assert "cannot be written" in err
    assert state(read_only) == before
