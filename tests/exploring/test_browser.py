"""The page in a real browser, without a window: every tab, and which hosts it asks."""

import json
import shutil
import urllib.parse

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

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

    def hosts(self):
        """All hosts that the browser asked since the page was opened."""
        events = [json.loads(e["message"])["message"] for e in self.browser.get_log("performance")]
        asked = [e for e in events if e["method"] == "Network.requestWillBeSent"]
        urls = [urllib.parse.urlsplit(e["params"]["request"]["url"]) for e in asked]
        return {url.hostname for url in urls if url.scheme in ("http", "https", "ws", "wss")}


@pytest.fixture
def visit(browser, run_page):
    return Visit(browser, run_page)


def test_the_page_asks_no_other_host(visit):
    assert visit.hosts() == {"localhost"}


def test_a_sample_is_taken_to_the_other_tabs(visit):
    before = visit.picture("original")
    visit.open("Sample")
    visit.press("Sample")
    visit.until(lambda: len(visit.find("#samples img")) == 24)
    visit.find("#samples button.thumbnail-item")[5].click()
    visit.until(lambda: "Sample 6 of the grid." in visit.words())
    visit.open("Reconstruct")
    visit.until(lambda: visit.picture("original") not in (None, before))


def test_a_picture_is_dropped(visit, tmp_path):
    before = visit.picture("original")
    path = tmp_path / "mine.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    visit.find("input[type=file]")[0].send_keys(str(path))
    visit.until(lambda: "mine.jpg: 60x40 pixels, cropped" in visit.words())
    visit.until(lambda: visit.picture("original") not in (None, before))
