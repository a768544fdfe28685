"""The command: flags and arguments to a PNG, and what it refuses."""

import numpy as np
import pytest
from PIL import Image

from tests.commands import run
from tests.exporting.runs import make_run


def show(*arguments):
    """Exit code, stdout and stderr of the command."""
    return run("show", *arguments)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "digits", width=0.1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Photographs of other sizes and kinds than the run's images."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, shape in (("a.jpg", (40, 60, 3)), ("b.png", (20, 20, 4))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
    Image.fromarray(np.uint8(np.arange(256).reshape(16, 16) % 16 > 8) * 255).save(
        folder / "mask.png"
    )
    return folder


def test_inpaint_replaces_the_figure(run_dir, pictures, tmp_path):
    out = tmp_path / "figure.png"
    out.write_text("what was there")
    code, printed, err = show(
        f"--run_dir={run_dir}",
        "inpaint",
        pictures / "a.jpg",
        pictures / "b.png",
        f"--out={out}",
        f"--mask={pictures / 'mask.png'}",
    )
    assert code == 0, err
    assert printed == f"written to {out}\n"
    with Image.open(out) as picture:
        assert picture.width > 6 * 96 and picture.height > 2 * 96
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_interpolation_moves(run_dir, pictures, tmp_path):
    out = tmp_path / "film.gif"
    arguments = [pictures / "a.jpg", pictures / "b.png", f"--out={out}"]
    code, printed, err = show(f"--run_dir={run_dir}", "interpolate", *arguments)
    assert (code, printed) == (0, f"written to {out}\n"), err
    with Image.open(out) as film:
        assert film.format == "GIF" and film.n_frames > 20
        assert 0 < film.width - 4 * 108 < 200  # from, level 1, level 2, to
        frames = []
        for i in (0, film.n_frames // 2, film.n_frames - 1):
            film.seek(i)
            frames.append(np.asarray(film.convert("L"), np.int64))
    middle, last = (np.abs(frames[0] - frame).mean() for frame in frames[1:])
    assert 0 < last < middle  # there and back


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, columns, rows",
    [
        (("reconstruct", "a.jpg", "b.png"), 3, 2),
        (("sample", "--seed=3"), 8, 8),
        (("interpolate", "a.jpg", "b.png"), 10, 2),
        (("inpaint", "a.jpg"), 6, 1),
        (("traverse", "a.jpg", "--level=1"), 10, 4),
        (("traverse", "a.jpg", "--component=3"), 8, 1),
        (("innovate", "a.jpg", "b.png"), 8, 8),
    ],
)
def test_every_verb_draws(run_dir, pictures, tmp_path, arguments, columns, rows):
    verb, *rest = arguments
    rest = [a if a.startswith("--") else pictures / a for a in rest]
    code, _, err = show(verb, *rest, f"--run_dir={run_dir}", f"--out={tmp_path / 'figure.png'}")
    assert code == 0, err
    with Image.open(tmp_path / "figure.png") as picture:
        # Images of 96 pixels and gaps of 12; the rest is words.
        assert 0 < picture.width - columns * 108 < 200 and 0 < picture.height - rows * 108 < 80


def test_a_name_that_is_an_ending_alone_has_its_format(run_dir, pictures, tmp_path):
    arguments = (pictures / "a.jpg", pictures / "b.png", f"--out={tmp_path / '.gif'}")
    code, _, err = show(f"--run_dir={run_dir}", "interpolate", *arguments)
    assert code == 0, err
    with Image.open(tmp_path / ".gif") as film:
        assert film.format == "GIF"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            (),
            "expected a verb, one of reconstruct, sample, interpolate, inpaint, traverse, "
            "innovate, film",
        ),
        (("paint", "a"), "received paint"),
        (("reconstruct",), "reconstruct: expected 1 or more pictures; received 0"),
        (("interpolate", "a"), "interpolate: expected 2 or more pictures; received 1"),
        (("sample", "a"), "sample: expected no pictures; received 1"),
        (("reconstruct", "a", "--mask=m.png"), "--mask: reconstruct has no use for it"),
        (("innovate", "a", "--level=1"), "--level: innovate has no use for it"),
        (("reconstruct", "a", "--out="), "--out=: expected the name of a file"),
        (("reconstruct", "a", "--out=figure.gif"), "ending in .png"),
        (("interpolate", "a", "b", "--out=figure.jpg"), "ending in .png or .gif"),
        (("sample", "--out=samples.gif"), "ending in .png"),
        (("film",), "ending in .gif"),
        (("reconstruct", "a", "--out=no/such/figure.png"), "its folder does not exist"),
        (("traverse", "a", "--component=x"), "component"),
        (("sample", "--seed=-1"), "--seed=-1: expected at least 0"),
    ],
)
def test_wrong_usage_is_one_line(run_dir, arguments, words):
    code, out, err = show(f"--run_dir={run_dir}", "--out=figure.png", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1 and words in err


def test_run_without_checkpoint(pictures, tmp_path):
    from hali_tf.config import Config

    arguments = ("reconstruct", pictures / "a.jpg", f"--out={tmp_path / 'figure.png'}")
    code, _, err = show(f"--run_dir={tmp_path / 'none'}", *arguments)
    assert code == 2 and "--run_dir=" in err
    (tmp_path / "config.json").write_text(Config.of(run_dir="x", channels=1).validate().to_json())
    code, _, err = show(f"--run_dir={tmp_path}", *arguments)
    assert code == 1
    assert "no checkpoint; train the run first" in err.splitlines()[-1] and "Traceback" not in err


def test_help_teaches():
    code, out, _ = show("--help")
    assert code == 0
    assert "interpolate IMAGE IMAGE..." in out and "--component" in out and "innovate me.jpg" in out
