"""The report as one HTML file, read back by a parser of it."""

from __future__ import annotations

import base64
import re
import struct
from html.parser import HTMLParser

import pytest

from experiments.report.write.document import Cell, Document, Figure, Section, Table
from experiments.report.write.render import to_html

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 160, 320) + b"more"
VOID = {"meta", "img", "link", "br", "hr"}
HOSTILE = "<script>alert('x')</script> & \"quoted\" {{ document }} {% if %} </section> -->"


class Page(HTMLParser):
    """All elements with attributes and text; fails on one that is not closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "attributes": dict(attributes), "text": ""}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def texts(self, tag):
        return [" ".join(element["text"].split()) for element in self.all(tag)]


def full(text="words"):
    figure = Figure("loss", text, text, text, PNG)
    rows = ((Cell(text), Cell(text, bold=True, note=text)), (Cell("b"), Cell("", note="missing")))
    table = Table("numbers", text, text, (text, "Adam"), rows)
    sections = (Section("one", text, (text,), (figure,), (table,)), Section("two", "Two"))
    return Document(text, (text,), (text,), sections)


def test_text_is_shown_as_it_is_wherever_it_stands():
    page, plain = Page(to_html(full(HOSTILE))), Page(to_html(full("words")))
    assert [e["tag"] for e in page.elements] == [e["tag"] for e in plain.elements]
    places = ("title", "h1", "h3", "li", "figcaption", "th", "strong", "small")
    for tag in places:
        assert any(HOSTILE in text for text in page.texts(tag)), tag
    assert page.all("script") == []
    assert page.all("img")[0]["attributes"]["alt"] == HOSTILE


def test_nothing_is_fetched_from_anywhere():
    html = to_html(full())
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    page = Page(html)
    links = [e["attributes"][k] for e in page.elements for k in ("src", "href", "srcset")
             if k in e["attributes"]]  # fmt: skip
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert page.all("link") == page.all("script") == page.all("iframe") == []


def test_the_contents_lead_to_every_section():
    page = Page(to_html(full()))
    identities = [e["attributes"]["id"] for e in page.elements if "id" in e["attributes"]]
    assert len(identities) == len(set(identities))
    assert [a["attributes"]["href"] for a in page.all("a")] == ["#one", "#two"]
    assert {"one", "two", "figure-loss", "table-numbers"} <= set(identities)


def test_a_figure_is_inside_with_its_text_and_size():
    (image,) = Page(to_html(full())).all("img")
    source = image["attributes"]["src"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(source) == PNG
    assert (image["attributes"]["width"], image["attributes"]["height"]) == ("100", "200")
    assert image["attributes"]["alt"] == "words"


def test_a_table_has_heads_for_rows_and_columns_and_bold_and_small_cells():
    page = Page(to_html(full()))
    scopes = [th["attributes"]["scope"] for th in page.all("th")]
    assert scopes == ["col", "col", "row", "row"]
    assert page.texts("strong") == ["words"]
    assert page.texts("small") == ["words", "missing"]
    assert page.texts("td") == ["wordswords", "missing"]


def test_columns_of_words_are_flush_left():
    row = (Cell("a"), Cell("0.5"), Cell("three seeds are too few"))
    table = Table("t", "T", "", ("Task", "p", "in words"), (row,))
    page = Page(to_html(Document("T", (), (), (Section("s", "S", tables=(table,)),))))
    assert [td["attributes"].get("class") for td in page.all("td")] == [None, "words sentences"]


def test_warnings_stand_before_everything_but_title_and_summary():
    html = to_html(full())
    assert html.index("<h1>") < html.index("<aside") < html.index("<nav") < html.index("<main")
    assert "<aside" not in to_html(Document("T", (), (), ()))


def test_the_page_says_its_language_and_suits_dark_narrow_and_printed():
    html = to_html(full())
    assert html.startswith("<!DOCTYPE html>")
    assert Page(html).all("html")[0]["attributes"]["lang"] == "en"
    for part in ("prefers-color-scheme: dark", "max-width: 700px", "@media print", "overflow-x"):
        assert part in html


@pytest.mark.parametrize("document", [Document("", (), (), ()), Document("T", (), (), ())])
def test_an_empty_document_is_a_page(document):
    assert Page(to_html(document)).texts("h1") == [document.title]


def test_the_same_document_gives_the_same_page():
    assert to_html(full()) == to_html(full())
