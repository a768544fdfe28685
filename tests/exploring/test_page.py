"""The page without a browser: its address, its steps, what it refuses."""

import urllib.error
import urllib.request

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from hali_tf.exploring import subject as subjects
from hali_tf.models.coder import Coder
from hali_tf.runs.reopening import load_run

KEEP, TOP_ALONE = "innovate: keep the picture's details", "traverse: decode from the top level"


@pytest.fixture(params=["run", "server"])
def visitor(request):
    return Client(request.getfixturevalue(f"{request.param}_page"), verbose=False)


@pytest.fixture
def run_visitor(run_page):
    return Client(run_page, verbose=False)


@pytest.fixture
def picture(tmp_path):
    """uint8 [16, 16, 1], and the file of it."""
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 1), dtype=np.uint8)
    Image.fromarray(image[..., 0]).save(tmp_path / "mine.png")
    return image, handle_file(tmp_path / "mine.png")


def reduced(path):
    """A picture of the page, uint8 [16, 16, 1], not enlarged."""
    with Image.open(path) as picture:
        assert picture.size == (256, 256)
        return np.asarray(picture.convert("L"))[8::16, 8::16, np.newaxis]


def assert_near(image, other):
    assert np.abs(image.astype(int) - other.astype(int)).max() <= 1


def test_the_browser_may_ask_no_other_host(run_page):
    policy = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
    for path in ("", "config", "theme.css"):
        with urllib.request.urlopen(run_page + path, timeout=60) as answer:
            assert answer.headers["Content-Security-Policy"] == policy
            assert path != "theme.css" or b"https://" not in answer.read()


@pytest.mark.parametrize(
    "headers, code", [({"Host": "evil.example"}, 400), ({"Origin": "http://evil.example"}, 403)]
)
def test_pages_of_other_sites_are_refused(run_page, headers, code):
    for data in (None, b"x=1"):
        request = urllib.request.Request(run_page + "config", data, headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        with refused.value as answer:
            assert answer.code == code
    own = urllib.request.Request(run_page + "config", headers={"Origin": run_page.rstrip("/")})
    with urllib.request.urlopen(own, timeout=60) as answer:
        assert answer.status == 200


def test_an_empty_seed_is_named(run_visitor):
    with pytest.raises(AppError, match="the seed is empty"):
        run_visitor.predict(None, "any", api_name="/sample")


def test_a_picture_goes_through_the_tabs(visitor, picture, run_dir):
    image, file = picture
    coder = Coder(load_run(run_dir)[1])
    levels = [coder.reconstruct(image[np.newaxis], level)[0] for level in (1, 2)]
    _, words = visitor.predict(file, api_name="/choose")
    assert words == "mine.png: 16x16 pixels, used as it is."

    original, *rebuilt, table = visitor.predict(api_name="/reconstruct")
    np.testing.assert_array_equal(reduced(original), image)
    for shown, ours in zip(rebuilt, levels):
        assert_near(reduced(shown), ours)
    assert "| level 2 | 0." in table

    scores = visitor.predict(api_name="/classify")
    assert len(scores["confidences"]) == 10
    assert sum(row["confidence"] for row in scores["confidences"]) == pytest.approx(1, abs=1e-3)

    ends = visitor.predict(0, api_name="/ways")
    assert_near(reduced(ends[1]), levels[0]), assert_near(reduced(ends[2]), levels[1])
    with Image.open(ends[-1]) as film:
        assert film.format == "GIF" and film.n_frames > 20
    middle = visitor.predict(50, api_name="/interpolate")
    assert (reduced(middle[0]) != levels[0]).any()


def test_sliders(visitor, picture, run_dir, tmp_path):
    image, file = picture
    coder = Coder(load_run(run_dir)[1])
    close, content = (coder.reconstruct(image[np.newaxis], level)[0] for level in (1, 2))
    visitor.predict(file, api_name="/choose")
    _, changed, way, *values = visitor.predict(api_name="/start")
    assert way == KEEP and len(values) == 10 and values[6:] == [1] * 4
    assert_near(reduced(changed), close)
    assert_near(reduced(visitor.predict(TOP_ALONE, *values, api_name="/vary")), content)
    moved = [values[0] - 2 if values[0] > 0 else values[0] + 2, *values[1:9], 3]
    changed = visitor.predict(KEEP, *moved, api_name="/vary")
    assert (reduced(changed) != close).any()
    saved = visitor.predict(KEEP, *moved, api_name="/save")
    np.testing.assert_array_equal(reduced(saved["value"]), reduced(changed))
    again, _, *back = visitor.predict(api_name="/reset")
    assert_near(reduced(again), close)
    assert back == values


def test_rounds_of_inpainting(run_visitor, picture):
    image, file = picture
    run_visitor.predict(file, api_name="/choose")
    nothing = {"background": None, "layers": [], "composite": None}
    rounds = run_visitor.predict(nothing, "right half", api_name="/inpaint")
    assert [r["caption"] for r in rounds[:2]] == ["mean colour", "round 1, level 2"]
    assert len(rounds) == 5
    np.testing.assert_array_equal(reduced(rounds[-1]["image"])[:, :8], image[:, :8])
    with pytest.raises(AppError, match="the mask covers nothing; paint over a part"):
        run_visitor.predict(nothing, "painted", api_name="/inpaint")


def test_samples(run_visitor):
    first, again = (run_visitor.predict(3, "any", api_name="/sample") for _ in range(2))
    assert len(first) == 24
    images = [reduced(shown["image"]) for shown in first]
    np.testing.assert_array_equal(images, [reduced(shown["image"]) for shown in again])
    other = run_visitor.predict(4, "any", api_name="/sample")
    assert (images[0] != reduced(other[0]["image"])).any()


def test_a_bad_picture_is_said_and_the_next_one_is_taken(run_visitor, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(AppError, match="notes.txt: not an image"):
        run_visitor.predict(handle_file(tmp_path / "notes.txt"), api_name="/choose")
    Image.new("L", (20, 30), 200).save(tmp_path / "other.png")
    _, words = run_visitor.predict(handle_file(tmp_path / "other.png"), api_name="/choose")
    assert words == "other.png: 20x30 pixels, cropped to a square and resized to 16x16."


def test_a_server_that_is_gone_is_said_and_taken_again(serve, page_of, picture):
    with serve() as server:
        port = server.port
        visitor = Client(page_of(subjects.of_server(f"localhost:{port}", "hali")), verbose=False)
    with pytest.raises(AppError, match="UNAVAILABLE|unavailable|connect"):
        visitor.predict(picture[1], api_name="/choose")
    with serve(port):
        _, words = visitor.predict(picture[1], api_name="/choose")
    assert words.startswith("mine.png")
