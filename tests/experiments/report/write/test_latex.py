"""The tables as LaTeX."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.report.write.document import Cell, Document, Section, Table
from experiments.report.write.latex import escaped
from experiments.report.write.render import to_latex


def document(*rows, title="Final loss", columns=("Task", "Adam", "ALSALS")):
    table = Table("final-loss", title, "Lower is better.", columns, rows)
    return Document("Report", (), (), (Section("s", "Section", tables=(table,)),))


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("\\", r"\textbackslash{}"),
        ("{}", r"\{\}"),
        ("$5", r"\$5"),
        ("A&B", r"A\&B"),
        ("#1", r"\#1"),
        ("x^2", r"x\textasciicircum{}2"),
        ("val_loss", r"val\_loss"),
        ("50%", r"50\%"),
        ("~/x", r"\textasciitilde{}/x"),
        ("<a>", r"\textless{}a\textgreater{}"),
        ("a|b", r"a\textbar{}b"),
        ("0.9 ± 0.1", r"0.9 $\pm$ 0.1"),
        ("1–2", "1--2"),
        ("a · b", r"a $\cdot$ b"),
        ("τ", r"$\tau$"),
        ("1.5×", r"1.5$\times$"),
        ("[1]", "{[}1{]}"),
        ("*", "{*}"),
        ("--sweep", "-{}-sweep"),
        ("---", "-{}--"),
        ("-0.5 to -.1", "$-$0.5 to $-$.1"),
        ("1e-5", "1e-5"),
        ("Adam-SLS", "Adam-SLS"),
        ("Müller", "Müller"),
        ("中", "{[}U+4E2D{]}"),
        ("two\nlines\there", "two lines here"),
        ("\x00\x1b[0m", "{[}0m"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
    ],
)
def test_text_means_nothing_to_latex(text, latex):
    assert escaped(text) == latex


@given(st.text())
def test_no_character_that_means_something_is_left(text):
    rest = re.sub(r"\\(text\w+|ldots)\{\}|\\textsuperscript\{\d\}|\\[{}$&#%_,]", "", escaped(text))
    rest = re.sub(r"\$(-|\\[a-z]+|\\Delta)\$|\{[][*]\}|-\{\}-", "", rest)
    # A `~` that is left is a space that does not break.
    assert not re.search(r"[\\{}$&#^%_<>|\"\n]", rest), rest


def rows_of(latex):
    """The lines between top and bottom rule, split at the `&`s that are not escaped."""
    body = latex.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line.strip() for line in body.splitlines() if line.strip().endswith(r"\\")]
    return [
        [part.strip() for part in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))] for line in lines
    ]


def test_a_table_is_a_tabular_of_booktabs_with_label_and_caption():
    row = (Cell("A & B"), Cell("0.2 ± 0.1", note="2 of 3"), Cell("0.1", bold=True))
    latex = to_latex(document(row, (Cell("b"), Cell(""), Cell("", bold=True)), title="50% more"))
    assert rows_of(latex) == [
        ["Task", "Adam", "ALSALS"],
        [r"A \& B", r"0.2 $\pm$ 0.1 {\scriptsize 2 of 3}", r"\textbf{0.1}"],
        ["b", "", ""],
    ]
    assert r"\caption{\textbf{50\% more} Lower is better.}" in latex
    assert r"\label{tab:final-loss}" in latex
    assert r"\begin{tabular}{lrr}" in latex
    rules = [r"\toprule", r"\midrule", r"\bottomrule"]
    assert [line.strip() for line in latex.splitlines() if "rule" in line] == rules


def test_every_environment_and_brace_is_closed():
    latex = to_latex(document((Cell("{x}"), Cell("[y"), Cell("z}"))))
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", latex):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    bare = re.sub(r"\\[{}]", "", latex)
    assert bare.count("{") == bare.count("}")


def test_the_head_says_what_the_tables_need():
    head = to_latex(document()).split(r"\begin{table}")[0]
    assert all(line.startswith("%") for line in head.strip().splitlines())
    assert r"\usepackage{adjustbox,booktabs}" in head
    assert r"\usepackage[T1]{fontenc}" in head


def test_a_column_of_words_is_flush_left():
    row = (Cell("a"), Cell("0.5"), Cell("three seeds are too few"))
    assert r"\begin{tabular}{lrl}" in to_latex(document(row))


def test_a_document_without_tables_is_the_head():
    latex = to_latex(Document("T", (), (), (Section("s", "S", ("Text.",)),)))
    assert all(line.startswith("%") for line in latex.splitlines())
