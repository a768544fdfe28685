"""A report's Markdown as one HTML file that needs nothing else: figures inside, no scripts."""

from __future__ import annotations

import base64
import html
import mimetypes
import os
import re
import string
from importlib.resources import files
from xml.etree import ElementTree

import markdown
from markdown.treeprocessors import Treeprocessor

from hali_tf.files import opened, write_text

_LONG = 15  # rows; a table with more is folded
_WORDS = 40  # characters; a cell with more is kept wide
_VERDICTS = {
    "holds": "holds",
    "does not hold": "fails",
    "undecided": "open",
    "not measured": "open",
}  # text of a cell to its class


def write_html(path: str | os.PathLike, text: str) -> None:
    """Writes Markdown as an HTML page, with the figures that it names embedded.

    Figures open large when they are clicked, long tables are folded, and what the Markdown has of
    HTML is shown as text. Only PNG files beside the page are embedded, and only links within the
    page and to the web are kept: names in data of strangers may look like others.

    Args:
      path: of the file; figures are looked for in its folder.
      text: Markdown; its first line is a heading, which becomes the title.
    """
    converter = markdown.Markdown(
        extensions=["tables", "toc"],
        extension_configs={"toc": {"toc_depth": "2-3"}},
        output_format="html",
    )
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    processors = {
        "links": _Links(),
        "figures": _Figures(os.path.dirname(path)),
        "tables": _Tables(),
    }
    for name, processor in processors.items():
        converter.treeprocessors.register(processor, name, 0)  # after the inline patterns
    title, _, text = text.partition("\n")
    body = converter.convert(text)
    template = (files(__package__) / "page.html").read_text(encoding="utf-8")
    page = string.Template(template).substitute(
        title=html.escape(title.lstrip("# ")),
        contents=converter.toc,  # of the extension `toc`
        body=body,
    )
    write_text(path, page)


class _Figures(Treeprocessor):
    """Embeds images, each in a label whose checkbox makes it large."""

    def __init__(self, folder):
        super().__init__()
        self._folder = folder

    def run(self, root):
        for parent in list(root.iter()):
            for image in parent.findall("img"):
                source, title = image.get("src"), image.get("alt")
                if os.path.basename(source) != source or not source.endswith(".png"):
                    image.tag, image.text = "span", title
                    image.attrib.clear()
                    continue
                image.set("src", _embedded(os.path.join(self._folder, source)))
                box = ElementTree.Element("input", type="checkbox")
                box.set("aria-label", f"Show large: {title}")
                _wrap(parent, image, "label", before=box)


class _Links(Treeprocessor):
    """Takes the address from a link that leads neither within the page nor to the web."""

    def run(self, root):
        for link in root.iter("a"):
            if not link.get("href", "").startswith(("#", "http://", "https://")):
                link.attrib.clear()


class _Tables(Treeprocessor):
    """Makes wide tables scroll, folds long ones but those of claims, marks the verdicts."""

    def run(self, root):
        for table in list(root.iter("table")):
            cells = list(table.iter("td"))
            for cell in cells:
                _classify(cell)
                _keep_intervals_whole(cell)
            claims = any(cell.get("class") in _VERDICTS.values() for cell in cells)
            parent = next(element for element in root.iter() if table in element)
            around = _wrap(parent, table, "div")
            around.set("class", "table")
            rows = len(table.findall("tbody/tr"))
            if rows > _LONG and not claims:
                summary = ElementTree.Element("summary")
                summary.text = f"Table of {rows} rows"
                _wrap(parent, around, "details", before=summary)


def _classify(cell):
    """Gives a cell the class of its verdict, or "words" if it has many."""
    text = cell.text or ""
    verdict = _VERDICTS.get(text.partition(":")[0])
    if verdict or len(text) > _WORDS:
        cell.set("class", verdict or "words")


def _keep_intervals_whole(cell):
    """The bracket of "[FROM, TO]" or "VALUE [FROM, TO]" in a cell becomes a span."""
    interval = re.fullmatch(r"(\S+ )?(\[.*\])", cell.text or "")
    if interval:
        cell.text = interval[1]
        ElementTree.SubElement(cell, "span", {"class": "interval"}).text = interval[2]


def _wrap(parent, child, tag, before=None):
    """Puts a child of an element into a new one, after `before` if there is one; returns it."""
    around = ElementTree.Element(tag)
    around.tail, child.tail = child.tail, None
    around.extend([child] if before is None else [before, child])
    parent[list(parent).index(child)] = around
    return around


def _embedded(path):
    """A file as a data URL."""
    kind = mimetypes.guess_type(path)[0]
    with opened(path, "rb") as f:
        return f"data:{kind};base64,{base64.b64encode(f.read()).decode('ascii')}"
