"""The report as Markdown, read back by a parser of it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from experiments.report.write.document import Cell, Document, Figure, Section, Table
from experiments.report.write.render import to_markdown

HOSTILE = (
    "a | b",
    "**bold** _x_ `code`",
    "# heading",
    "- item",
    "1. first",
    "+ plus",
    "---",
    "===",
    "> quote",
    "<script>alert(1)</script>",
    "[text](http://x.y)",
    "![picture](x.png)",
    "A & B &amp; C",
    "a\\b \\| c\\",
    "~~gone~~ ~~~",
    "```",
    "two\nlines",
)


def parsed(text):
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def text_of(token):
    return "".join(child.content for child in token.children)


def document(text="x", bold=False, note=""):
    row = (Cell("row"), Cell(text, bold, note))
    table = Table("key", "Title", "Caption", ("Task", "Adam"), (row,))
    return Document("Report", (), (), (Section("one", "One", (text,), (), (table,)),))


def cell_of(markdown):
    """The inline token of the table's last cell."""
    tokens = parsed(markdown)
    places = [i for i, token in enumerate(tokens) if token.type == "td_open"]
    assert len(places) == 2
    return tokens[places[1] + 1]


any_text = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc"]))


@settings(deadline=None)
@given(any_text)
@example("-0.5")
@example("|")
def test_any_text_is_read_back_as_it_was(text):
    _assert_read_back(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_is_read_back_as_text(text):
    _assert_read_back(text)


def _assert_read_back(text):
    markdown = to_markdown(document(text), pictures="pictures")
    plain = " ".join(text.split())
    assert text_of(cell_of(markdown)) == plain
    paragraphs = [
        text_of(token)
        for before, token in zip(parsed(markdown), parsed(markdown)[1:], strict=False)
        if before.type == "paragraph_open"
    ]
    assert paragraphs == [plain, "Caption"] if plain else ["Caption"]


def test_the_best_cell_is_bold_and_its_note_small():
    markdown = to_markdown(document("0.9 ± 0.1", bold=True, note="2 of 3 seeds"), pictures="p")
    assert "| row | **0.9 ± 0.1** <sub>2 of 3 seeds</sub> |" in markdown.splitlines()


def test_an_empty_cell_that_is_bold_has_no_stray_stars():
    assert "| row |  |" in to_markdown(document("", bold=True), pictures="p").splitlines()


def test_headings_figures_and_tables_come_in_order():
    figure = Figure("loss", "The loss", "Falls.", "A line [falls]", b"")
    table = Table("t", "Numbers", "", ("Task", "Adam", "says"), ((Cell("a"),) * 3,))
    section = Section("s", "Section", ("Text.",), (figure,), (table,))
    markdown = to_markdown(Document("Title", ("Short.",), (), (section,)), pictures="my pictures")
    places = [
        markdown.index(part)
        for part in (
            "# Title",
            "Short.",
            "## Section",
            "Text.",
            "### The loss",
            r"![A line \[falls\]](my%20pictures/loss.png)",
            "Falls.",
            "### Numbers",
            "| Task | Adam | says |\n| :-- | :-- | :-- |\n",
        )
    ]
    assert places == sorted(places)
    assert "\n\n\n" not in markdown


def test_warnings_are_a_box_with_a_line_each():
    markdown = to_markdown(Document("T", (), ("One | run.", "*Two*."), ()), pictures="p")
    assert "> [!WARNING]\n> - One \\| run.\n> - \\*Two\\*.\n" in markdown


def test_a_column_of_words_is_flush_left():
    row = (Cell("a"), Cell("0.5"), Cell("three seeds are too few"))
    table = Table("t", "T", "", ("Task", "p", "in words"), (row,))
    markdown = to_markdown(
        Document("T", (), (), (Section("s", "S", tables=(table,)),)), pictures=""
    )
    assert "| :-- | --: | :-- |" in markdown


def test_an_empty_document_is_a_title():
    assert to_markdown(Document("T", (), (), ()), pictures="p") == "# T\n"
