"""The gallery: its script, and that it renews what the page shows."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from scripts import gallery
from tests.exporting.runs import make_run

ROOT = pathlib.Path(__file__).parents[1]


def draw_gallery(runs, docs):
    done = subprocess.run(
        [sys.executable, "scripts/gallery.py", f"--runs={runs}", f"--docs={docs}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def pictures_of(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return sorted(re.findall(r"!\[.*?\]\((.*?)\)", text))


def test_every_picture_of_the_page_is_renewed():
    drawn = [f"gallery/digits_{name}" for name in gallery.DRAWN]
    copied = [target for _, _, target in gallery.COPIED]
    assert pictures_of("gallery.md") == sorted([*drawn, *copied])


def test_every_picture_of_the_page_of_faces_is_renewed():
    copied = [target for _, _, target in (*gallery.COPIED, *gallery.OF_FACES)]
    assert pictures_of("celeba64.md") == sorted(t for t in copied if t.startswith("celeba64/"))


def test_pictures_of_the_runs_that_are_there_are_renewed(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    plot = np.concatenate([pixels, np.full((40, 60, 1), 255, np.uint8)], axis=2)  # has transparency
    for folder in ("runs/svhn_small/evaluation", "runs/mnist/figures", "docs"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(plot).save(tmp_path / "runs/svhn_small/evaluation/reconstruction.png")
    Image.fromarray(pixels).save(tmp_path / "runs/mnist/figures/samples.png")
    (tmp_path / "runs/faces/seed_0/figures").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "runs/faces/seed_0/figures/reconstructions.png")
    (tmp_path / "docs" / "mnist_reconstructions.png").write_text("as it was")
    code, out, err = draw_gallery(tmp_path / "runs", tmp_path / "docs")
    assert (code, err) == (0, "")
    with Image.open(tmp_path / "docs" / "mnist_samples.png") as picture:
        np.testing.assert_array_equal(picture, pixels)
    with Image.open(tmp_path / "docs" / "svhn_reconstructions.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (60, 40))
    assert (tmp_path / "docs" / "mnist_reconstructions.png").read_text() == "as it was"
    assert (tmp_path / "docs" / "celeba64" / "reconstruction_hali.jpg").exists()
    assert out.count(" renewed\n") == 3
    assert f"{tmp_path / 'docs' / 'mnist_reconstructions.png'} stays: there is no " in out


def test_other_folder_is_an_error_of_one_line(tmp_path):
    code, _, err = draw_gallery(tmp_path, tmp_path / "none")
    assert code == 1
    assert len(err.splitlines()) == 1 and "start the script at the repository's root" in err


@pytest.mark.slow
def test_digits_are_drawn(tmp_path, monkeypatch):
    run_dir = make_run(tmp_path / "digits", width=0.1)
    film = [Image.new("RGB", (20, 20), colour) for colour in ("white", "black")]
    # The run has no training behind it, and so no film.
    monkeypatch.setattr("hali_tf.evaluation.training_film.draw", lambda run_dir: film)
    gallery.draw(run_dir, str(tmp_path / "gallery"))
    files = sorted(path.name for path in (tmp_path / "gallery").iterdir())
    assert files == sorted(f"digits_{name}" for name in gallery.DRAWN)
    for name in files:
        with Image.open(tmp_path / "gallery" / name) as picture:
            assert picture.format == name[-3:].upper()
