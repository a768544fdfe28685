"""The page without a browser: its address, its steps, what it refuses."""

import urllib.request

import gradio_client
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from hali_tf.exploring import page, subject


@pytest.fixture(scope="module")
def address(run_dir):
    blocks = page.build(subject.of_run(run_dir))
    yield page.launch(blocks, 0)
    blocks.close()


def opened(url):
    return urllib.request.urlopen(url, timeout=60)


@pytest.fixture
def visitor(address):
    return Client(address, verbose=False)


def test_the_browser_may_ask_no_other_host(address):
    policy = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
    for path in ("", "config", "theme.css"):
        assert opened(address + path).headers["Content-Security-Policy"] == policy
    assert b"fonts.g" not in opened(f"{address}theme.css").read()


def test_samples(visitor):
    grid = visitor.predict(3, "any", api_name="/sample")
    assert len(grid) == 24
    with Image.open(grid[0]["image"]) as picture:
        assert picture.size == (256, 256)


def test_a_bad_picture_is_said_and_the_next_one_is_taken(visitor, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(gradio_client.exceptions.AppError, match="notes.txt: not an image"):
        visitor.predict(handle_file(tmp_path / "notes.txt"), api_name="/choose")
    Image.new("L", (20, 30), 200).save(tmp_path / "mine.png")
    _, words = visitor.predict(handle_file(tmp_path / "mine.png"), api_name="/choose")
    assert words == "mine.png: 20x30 pixels, cropped to a square and resized to 16x16."
