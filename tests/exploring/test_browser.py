"""The page in a real browser, without a window: every tab, and which hosts it asks."""

import json
import shutil
import urllib.parse

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from hali_tf.exploring import subject as subjects

pytestmark = pytest.mark.slow
_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_DRIVER = shutil.which("chromedriver")
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--window-size=1400,1100",
)


@pytest.fixture(scope="module")
def browser():
    if not _CHROMIUM or not _DRIVER:
        pytest.skip("Chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(_DRIVER)) as browser:
        yield browser


class Visit:
    """A visitor of the page, who waits for what is to come."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get_log("performance")  # of visits before
        browser.get(address)
        self.until(lambda: self.picture("level 2"))

    def until(self, condition):
        """The first true value of a function without arguments."""
        return WebDriverWait(self.browser, 60).until(lambda _: condition())

    def find(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def words(self):
        return self.browser.find_element(By.TAG_NAME, "body").text

    def open(self, tab):
        (button,) = [b for b in self.find("button[role=tab]") if b.text == tab]
        button.click()

    def press(self, words):
        (button,) = [
            b for b in self.find("button:not([role=tab])") if b.text == words and b.is_displayed()
        ]
        button.click()

    def picture(self, label):
        """Address of the picture with this label on the open tab; None while there is none."""
        for block in self.find(".block"):
            if block.is_displayed() and block.text.strip() == label:
                for image in block.find_elements(By.TAG_NAME, "img"):
                    return image.get_attribute("src")
        return None

    def sliders(self):
        return [s for s in self.find("input[type=range]") if s.is_displayed()]

    def slide(self, slider, value):
        self.browser.execute_script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));",
            slider,
            value,
        )

    def drop(self, path):
        """Chooses a file in the place for pictures, which an earlier file may have to leave."""
        for button in self.find(
            "button[aria-label='Clear'], button[aria-label='Remove this file']"
        ):
            if button.is_displayed():
                button.click()
        self.until(lambda: self.find("input[type=file]"))[0].send_keys(str(path))

    def hosts(self):
        """All hosts that the browser asked since the page was opened.

        What the page's policy forbade was not sent: Gradio 4 refers to a script elsewhere.
        """
        events = [json.loads(e["message"])["message"] for e in self.browser.get_log("performance")]
        blocked = {e["params"]["requestId"] for e in events if _blocked(e)}
        asked = [
            e["params"]["request"]["url"]
            for e in events
            if e["method"] == "Network.requestWillBeSent"
            and e["params"]["requestId"] not in blocked
        ]
        urls = map(urllib.parse.urlsplit, asked)
        return {url.hostname for url in urls if url.scheme in ("http", "https", "ws", "wss")}


def _blocked(event):
    return (
        event["method"] == "Network.loadingFailed" and event["params"].get("blockedReason") == "csp"
    )


@pytest.fixture
def visit(browser, run_page):
    return Visit(browser, run_page)


def picture_file(path, size=(60, 40)):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path)
    return str(path)


def test_the_page_asks_no_other_host(visit):
    for tab in ("Inpaint", "Traverse", "Interpolate", "Sample", "Classify"):
        visit.open(tab)
    visit.until(lambda: "%" in visit.words())
    assert visit.hosts() == {"localhost"}


def test_a_part_is_painted_over_and_predicted(visit):
    visit.open("Inpaint")
    visit.until(lambda: visit.find("#editor canvas"))
    canvas = visit.find("#editor canvas")[0]
    brush = ActionChains(visit.browser).pause(2).move_to_element(canvas).click_and_hold()
    for _ in range(6):
        brush.move_by_offset(10, 5)
    brush.release().pause(1).perform()  # Gradio 4 sends what was painted a little later
    visit.press("Predict")
    visit.until(lambda: "round 4, level 1" in visit.words())
    assert len(visit.find("#rounds button.thumbnail-item img")) == 5


def test_sliders_change_the_picture_and_reset_brings_it_back(visit):
    visit.open("Traverse")
    before = visit.until(lambda: visit.picture("changed"))
    for slider in visit.sliders()[::6]:  # an entry of z_2 and a map of z_1
        now = visit.picture("changed")
        visit.slide(slider, 3)
        visit.until(lambda now=now: visit.picture("changed") != now)
    visit.press("Save")
    visit.until(lambda: visit.find("a[href$='/changed.png']"))
    visit.press("Reset")
    visit.until(lambda: visit.picture("changed") == before)


def test_the_way_to_a_second_picture(visit):
    visit.open("Interpolate")
    visit.until(lambda: (visit.picture("film, level 2") or "").endswith(".gif"))
    before, end = visit.picture("level 1"), visit.picture("to")
    (slider,) = visit.sliders()
    visit.slide(slider, 100)
    visit.until(lambda: visit.picture("level 1") != before)
    visit.find("#seconds button.thumbnail-item")[3].click()
    visit.until(lambda: visit.picture("to") != end)


def test_a_sample_is_taken_to_the_other_tabs(visit):
    before = visit.picture("original")
    visit.open("Sample")
    visit.press("Sample")
    visit.until(lambda: len(visit.find("#samples img")) == 24)
    visit.find("#samples button.thumbnail-item")[5].click()
    visit.until(lambda: "Sample 6 of the grid." in visit.words())
    visit.open("Reconstruct")
    visit.until(lambda: visit.picture("original") not in (None, before))


def test_scores(visit):
    visit.open("Classify")
    (bars,) = visit.find("#scores")
    visit.until(lambda: bars.text.count("%") == 10)


def test_bad_files_are_said_and_a_picture_is_taken_after_them(visit, tmp_path):
    before = visit.picture("original")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "large.png").write_bytes(bytes(21 * 2**20))
    for name, words in (("notes.txt", "notes.txt: not an image"), ("large.png", "maximum")):
        visit.drop(tmp_path / name)
        visit.until(lambda words=words: words in visit.words())
    assert visit.picture("original") == before
    visit.drop(picture_file(tmp_path / "mine.jpg"))
    visit.until(lambda: "mine.jpg: 60x40 pixels, cropped" in visit.words())
    visit.until(lambda: visit.picture("original") not in (None, before))


def test_a_server_that_is_gone_is_said_and_taken_again(browser, serve, page_of):
    with serve() as server:
        port = server.port
        visit = Visit(browser, page_of(subjects.of_server(f"localhost:{port}", "hali")))
    before = visit.picture("original")
    second = visit.find("#offered button.thumbnail-item")[1]
    second.click()
    visit.until(lambda: "UNAVAILABLE" in visit.words() or "unavailable" in visit.words())
    assert visit.picture("original") == before
    with serve(port):
        visit.find("#offered button.thumbnail-item")[2].click()
        visit.until(lambda: visit.picture("original") not in (None, before))
