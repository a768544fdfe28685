"""The HTML report: the Markdown's content, in a file that needs no other."""

import base64
import html.parser
import re

import numpy as np
import pytest
from PIL import Image

from hali_tf.evaluation.report import markdown
from hali_tf.evaluation.report.html import write_html

TEXT = markdown.page(
    "# Evaluation of <run>",
    "## What holds",
    markdown.table(
        ["claim", "figure", "verdict"],
        [["first", 0.5, "holds"], ["z_1 & z_2", 1.5, "does not hold"], ["third", 2.5, "undecided"]]
        * 8,
    ),
    "## Curves",
    "The loss <script>alert(1)</script> fell; failed: <tf.Tensor>.",
    "![Curves](curves.png)",
    markdown.table(["attribute", "value"], [[f"row {i}", f"{i} [0, 1]"] for i in range(40)]),
)


class Page(html.parser.HTMLParser):
    """Lists of (tag, attributes, tags around it), and the text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self._open)))
        if tag not in ("meta", "img", "input", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words += data

    def all(self, tag):
        return [(attributes, around) for name, attributes, around in self.elements if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "curves.png")
    write_html(folder / "report.html", TEXT)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_figures_are_inside_and_open_large(page, folder):
    ((image, around),) = page.all("img")
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == (folder / "curves.png").read_bytes()
    assert image["alt"] == "Curves" and around[-1] == "label"
    ((box, around),) = page.all("input")
    assert box == {"type": "checkbox", "aria-label": "Show large: Curves"} and around[-1] == "label"


def test_nothing_is_loaded_or_run(page):
    tags = {tag for tag, _, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object"}
    for _, attributes, _ in page.elements:
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    ((_, _),) = page.all("style")
    assert "url(" not in page.words and "@import" not in page.words


def test_html_in_the_markdown_is_text(page):
    assert "<script>alert(1)</script> fell; failed: <tf.Tensor>." in page.words
    assert page.words.count("Evaluation of <run>") == 2  # the title, and the heading


@pytest.mark.parametrize(
    "markup",
    ["![a]({secret})", "![a](../{name})", "![a](notes.txt)", "[a](javascript:alert)", "[a](../b)"],
)
def test_only_pictures_of_the_report_are_embedded_and_only_links_of_the_web(tmp_path, markup):
    (tmp_path / "report").mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (tmp_path / "report" / "notes.txt").write_text("secret")
    markup = markup.format(secret=secret, name=secret.name)
    write_html(tmp_path / "report" / "report.html", f"# R\n\nclass {markup} here")
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert "class a here" in page.words and not page.all("img")
    assert all(attributes.get("href", "#").startswith("#") for _, attributes, _ in page.elements)


def test_contents_lead_to_the_headings(page):
    links = [attributes["href"][1:] for attributes, around in page.all("a") if "nav" in around]
    headings = [attributes["id"] for attributes, _ in page.all("h2")]
    assert links == headings == ["what-holds", "curves"]


def test_long_tables_are_folded_but_that_of_claims(page):
    claims, long = (around for _, around in page.all("table"))
    assert "details" not in claims and "details" in long
    assert "Table of 40 rows" in page.words and "row 39" in page.words


def test_verdicts_are_marked(page):
    marks = [attributes.get("class") for attributes, _ in page.all("td")]
    assert marks[:9] == [*[None] * 2, "holds", *[None] * 2, "fails", *[None] * 2, "open"]
    assert not any(marks[3 * 3 * 8 :])


def test_intervals_stay_whole(page):
    spans = [(attributes, around[-1]) for attributes, around in page.all("span")]
    assert spans == [({"class": "interval"}, "td")] * 40
    assert "39 [0, 1]" in page.words


def test_style_covers_dark_and_print(page):
    assert re.search(r"@media \(prefers-color-scheme: dark\)", page.words)
    assert "@media print" in page.words
